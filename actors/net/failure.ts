/** The ways in which a request to a peer can fail. Machines branch on `kind`, people read `message`. */
import type { Failure, FailureKind } from '../../machines/failure.js';

export class PeerFailure extends Error implements Failure {
  readonly kind: FailureKind;
  /** If the peer answered: its status, and the `detail` of its problem. */
  readonly answer: { status: number; detail: string } | null;

  constructor(
    kind: FailureKind,
    message: string,
    { answer = null, ...options }: ErrorOptions & { answer?: { status: number; detail: string } | null } = {},
  ) {
    super(message, options);
    this.name = 'PeerFailure';
    this.kind = kind;
    this.answer = answer;
  }
}

const CODES: Record<string, [FailureKind, string]> = {
  ECONNREFUSED: ['refused', 'connection refused'],
  ENOTFOUND: ['refused', 'no such host'],
  EAI_AGAIN: ['refused', 'host name not resolved'],
  EHOSTUNREACH: ['refused', 'host unreachable'],
  ENETUNREACH: ['refused', 'network unreachable'],
  ECONNRESET: ['closed', 'connection reset'],
  EPIPE: ['closed', 'connection closed'],
  ETIMEDOUT: ['timeout', 'timed out'],
  EMFILE: ['exhausted', 'too many open files: raise the limit (ulimit -n, LimitNOFILE=)'],
  ENFILE: ['exhausted', 'too many open files on this machine: raise fs.file-max'],
  ENOBUFS: ['exhausted', 'no buffer space left for another connection'],
  EADDRNOTAVAIL: ['exhausted', 'no free local port, or no local address from which to reach it'],
  ERR_STREAM_PREMATURE_CLOSE: ['closed', 'connection closed before the answer was complete'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['not-allowed', 'its certificate is self-signed: trust its authority with --tls-ca'],
  SELF_SIGNED_CERT_IN_CHAIN: ['not-allowed', 'its authority is not trusted: name it with --tls-ca'],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['not-allowed', 'its authority is not trusted: name it with --tls-ca'],
  CERT_HAS_EXPIRED: ['not-allowed', 'its certificate has expired'],
  ERR_TLS_CERT_ALTNAME_INVALID: ['not-allowed', 'its certificate is for another name'],
};

/** Any error of a request to `url`, as a PeerFailure with a sentence that names the peer. */
export function peerFailure(url: string, error: unknown): PeerFailure {
  if (error instanceof PeerFailure) return error;
  const code = codeOf(error);
  const [kind, words] = CODES[code] ?? ['broken', error instanceof Error ? error.message : String(error)];
  if (kind === 'exhausted') {
    return new PeerFailure(kind, `this process cannot open a connection (${code}): ${words}`, { cause: error });
  }
  return new PeerFailure(kind, `${url}: ${words}`, { cause: error });
}

/** Node puts the code of a failed connection into `cause` or, where it tried several addresses, into `errors`. */
function codeOf(error: unknown): string {
  const { code, cause, errors } = (error ?? {}) as { code?: unknown; cause?: unknown; errors?: unknown[] };
  if (typeof code === 'string') return code;
  if (Array.isArray(errors) && errors.length > 0) return codeOf(errors[0]);
  return cause === undefined ? '' : codeOf(cause);
}
