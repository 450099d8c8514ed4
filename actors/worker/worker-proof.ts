/**
 * How a worker proves its identity (docs/protocol.md, section 8.1). Ports are reused: another process that listens where
 * a worker was must get neither token nor prompt. Each run of a worker has a key of its own, and signs the caller's
 * challenge on the same connection over which the request follows.
 */
import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { HEADER, PATH, PROTOCOL_VERSION } from '../../wire/status.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { PeerFailure, peerFailure } from '../net/failure.js';

/** A worker on a busy machine is slow to answer; a frozen one never does. */
const PROOF_MS = 10_000;
/** Only the headers of the answer are used. */
const ANSWER_BYTES_MAX = 64 * 1024;
const CHALLENGE_BYTES = 24;
const CHALLENGE = /^[A-Za-z0-9_-]{16,128}$/;

export interface WorkerKeyPair {
  /** Public: 32 bytes in base64url. */
  key: string;
  /** Signs a challenge, in base64url. */
  prove: (id: string, challenge: string) => string;
}

/** The key of this run, which never leaves its memory. */
export function createWorkerKeyPair(): WorkerKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    key: publicKey.export({ format: 'jwk' }).x as string,
    prove: (id, challenge) => sign(null, signed(id, challenge), privateKey).toString('base64url'),
  };
}

export const newChallenge = (): string => randomBytes(CHALLENGE_BYTES).toString('base64url');

export const isChallenge = (text: string): boolean => CHALLENGE.test(text);

/** With a prefix, so that the signature cannot be used for anything else. */
const signed = (id: string, challenge: string): Buffer => Buffer.from(`rbee worker proof\n${challenge}\n${id}`);

export function isProof({ id, key }: ExpectedWorker, challenge: string, proof: unknown): boolean {
  if (typeof proof !== 'string') return false;
  try {
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key }, format: 'jwk' });
    return verify(null, signed(id, challenge), publicKey, Buffer.from(proof, 'base64url'));
  } catch {
    // An invalid key proves nothing.
    return false;
  }
}

function notProven(url: string, { id }: ExpectedWorker): PeerFailure {
  return new PeerFailure('identity', `${new URL(url).origin} is not worker ${id}: it could not prove that it is`);
}

/**
 * Requires a proof that this worker is at the other end of `socket`; afterwards the connection can be used for requests.
 * Rejects with a PeerFailure, and destroys the connection.
 */
export async function proveWorker(socket: Socket, url: string, worker: ExpectedWorker): Promise<void> {
  const challenge = newChallenge();
  const { request } = url.startsWith('https:') ? https : http;
  const onTimeout = () => socket.destroy(new PeerFailure('timeout', `${url}: no proof within ${PROOF_MS / 1000} s`));
  const timer = setTimeout(onTimeout, PROOF_MS);
  try {
    const proof = await new Promise<unknown>((resolve, reject) => {
      const asking = request(new URL(PATH.health, url), {
        headers: { Connection: 'keep-alive', [HEADER.protocol]: PROTOCOL_VERSION, [HEADER.challenge]: challenge },
        createConnection: () => socket,
      });
      asking.once('error', reject);
      asking.once('upgrade', () => reject(notProven(url, worker)));
      asking.once('response', (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) reject(notProven(url, worker));
        });
        response.once('end', () => resolve(response.headers[HEADER.proof]));
        response.once('error', reject);
      });
      asking.end();
    });
    if (!isProof(worker, challenge, proof)) throw notProven(url, worker);
    if (!socket.writable) throw new PeerFailure('closed', `${url}: connection closed after the proof`);
  } catch (error) {
    socket.destroy();
    throw peerFailure(url, socket.errored ?? error);
  } finally {
    clearTimeout(timer);
  }
}
