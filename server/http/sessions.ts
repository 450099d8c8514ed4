/**
 * The sessions of browsers: random, kept here, and over when somebody logs out, the token is changed, or they are old. What
 * is kept cannot be turned into a cookie: of an id its digest, of the token a proof that only the id can check.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { knownParser } from '../../wire/schema.js';

export const SESSION_MS = 30 * 24 * 3600 * 1000;
/** The eldest gives way. */
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
/** What was kept before, or null when it is none. */
export const readSessions = (value: unknown): SessionsFile | null => {
  const parsed = parseFile(value);
  return parsed.ok ? parsed.value : null;
};

export interface Sessions {
  /** Gives the id of a new one. */
  begin: (token: string) => string;
  isOpen: (id: string) => boolean;
  /** Ends it, and what it still reads. */
  end: (id: string) => void;
  /** `cut` is called when the session ends first. @returns to be called when the answer is over */
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
      const [eldest] = sessions.keys();
      if (sessions.size >= SESSIONS_MAX && eldest !== undefined) sessions.delete(eldest);
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
