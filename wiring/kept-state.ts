/** What every process keeps in its state directory: its instance id, and the sessions of browsers. */
import { randomUUID } from 'node:crypto';
import type { StateDir } from '../actors/process/state-dir.js';
import type { Access } from '../server/http/auth.js';
import { createSessions, readSessions, type SessionsFile } from '../server/http/sessions.js';
import { createTokenRateLimit } from '../server/http/token-rate-limit.js';
import { isId } from '../wire/status.js';
import type { Logger } from './logger.js';

const SESSIONS = 'sessions.json';
const INSTANCE = 'instance.json';

/** Sessions are kept across restarts, so that a browser need not log in again. */
export function accessOf(tokens: string[], state: StateDir, log: Logger): Access {
  if (tokens.length === 0) return { tokens };
  const warn = (message: string) => log.warn(message);
  const keep = (file: SessionsFile) => {
    try {
      state.write(SESSIONS, file);
    } catch (error) {
      warn(`cannot keep the sessions of browsers, they end with this run: ${(error as Error).message}`);
    }
  };
  return {
    tokens,
    sessions: createSessions({ tokens, kept: state.read(SESSIONS, readSessions), keep }),
    rateLimit: createTokenRateLimit(warn),
  };
}

/** A UUID that identifies this process after a move or a return, among others of the same name. */
export function instanceOf(state: StateDir, log: Logger): string {
  const kept = state.read(INSTANCE, (value) => {
    const { instance } = (value ?? {}) as { instance?: unknown };
    return typeof instance === 'string' && isId(instance) ? instance : null;
  });
  if (kept !== null) return kept;
  const instance = randomUUID();
  try {
    state.write(INSTANCE, { instance });
  } catch (error) {
    log.warn(`cannot keep the instance id, a move will look like a name conflict: ${(error as Error).message}`);
  }
  return instance;
}
