/**
 * Browser sessions: random ids that end with a log-out, a change of the token, or after 30 days. The stored file cannot be
 * turned into a cookie: it holds a digest of the id, and an HMAC of the token keyed by the id.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { knownParser } from '../../wire/schema.js';

export const SESSION_MS = 30 * 24 * 3600 * 1000;
/** Beyond this the oldest session is dropped. */
const SESSIONS_MAX = 1_000;

const Session = Type.Object({
  digest: Type.String({ maxLength: 64 }),
  proof: Type.String({ maxLength: 64 }),
  expires_at: Type.Number(),
});
export const SessionsFile = Type.Object({
  version: Type.Literal(1),
  sessions: Type.Array(Session, { maxItems: SESSIONS_MAX }),
});
export type SessionsFile = Static<typeof SessionsFile>;

const parseFile = knownParser(SessionsFile);
/** The stored file, or null if it is not valid. */
export const readSessions = (value: unknown): SessionsFile | null => {
  const parsed = parseFile(value);
  return parsed.ok ? parsed.value : null;
};

export interface Sessions {
  /** Returns the id of a new session. */
  begin: (token: string) => string;
  isOpen: (id: string) => boolean;
  /** Ends it and closes the streams that it reads. */
  end: (id: string) => void;
  /** `cut` is called if the session ends before the response does. Returns a function to call when the response has ended. */
  reading: (id: string, cut: () => void) => () => void;
}

export interface SessionsInput {
  tokens: string[];
  kept: SessionsFile | null;
  keep: (file: SessionsFile) => void;
  /** Wall clock, in ms. */
  now?: () => number;
}

export function createSessions({ tokens, kept, keep, now = Date.now }: SessionsInput): Sessions {
  const readers = new Map<string, Set<() => void>>();
  const sessions = new Map((kept?.sessions ?? []).map((one) => [one.digest, one]));

  function changed(): void {
    for (const [digest, { expires_at }] of sessions) if (expires_at <= now()) sessions.delete(digest);
    keep({ version: 1, sessions: [...sessions.values()] });
  }

  return {
    begin: (token) => {
      const id = randomBytes(32).toString('base64url');
      const digest = digestOf(id);
      const [oldest] = sessions.keys();
      if (sessions.size >= SESSIONS_MAX && oldest !== undefined) sessions.delete(oldest);
      sessions.set(digest, { digest, proof: proofOf(id, token), expires_at: now() + SESSION_MS });
      changed();
      return id;
    },
    isOpen: (id) => {
      const found = sessions.get(digestOf(id));
      return found !== undefined && found.expires_at > now() && tokens.some((one) => proofOf(id, one) === found.proof);
    },
    end: (id) => {
      const digest = digestOf(id);
      if (sessions.delete(digest)) changed();
      for (const cut of [...(readers.get(digest) ?? [])]) cut();
    },
    reading: (id, cut) => {
      const digest = digestOf(id);
      const cuts = readers.get(digest) ?? new Set();
      readers.set(digest, cuts.add(cut));
      return () => {
        cuts.delete(cut);
        if (cuts.size === 0 && readers.get(digest) === cuts) readers.delete(digest);
      };
    },
  };
}

const digestOf = (id: string): string => createHash('sha256').update(id).digest('base64url');
const proofOf = (id: string, token: string): string => createHmac('sha256', id).update(token).digest('base64url');
