/** Checks of docs/protocol.md against a running process of any implementation. */
import { strict as assert } from 'node:assert';
import type { Test } from 'tap';
import { type Answer, getJson, openStream, postJson, type Stream } from '../helpers/http.js';

export interface Target {
  url: string;
  /** Sent with each request; the fakes need none. */
  token: string | null;
  /** An address of this machine that the target can reach. */
  host: string;
}

/** What a check gets: the target, requests with its token, and a teardown. */
export interface Context extends Target, Pick<Test, 'teardown'> {
  get: (path: string, headers?: Record<string, string>) => Promise<Answer>;
  post: (path: string, body: unknown, headers?: Record<string, string>) => Promise<Answer>;
  remove: (path: string) => Promise<Answer>;
  stream: (path: string, headers?: Record<string, string>) => Promise<Stream>;
}

export interface Check {
  /** Of docs/protocol.md, such as `4.1`. */
  section: string;
  /** A sentence that must be true. */
  claim: string;
  run: (context: Context) => Promise<void>;
}

export interface Outcome extends Omit<Check, 'run'> {
  /** Why it is not true; null when it is. */
  failure: string | null;
}

const FAILURE_CHARS_MAX = 500;

/** Runs the checks one after the other, and yields the outcome of each. */
export async function* runChecks(checks: readonly Check[], target: Target): AsyncGenerator<Outcome> {
  for (const { section, claim, run } of checks) {
    const teardowns: (() => unknown)[] = [];
    let failure: string | null = null;
    try {
      await run(contextOf(target, teardowns));
    } catch (error) {
      failure = (error instanceof Error ? error.message : String(error)).slice(0, FAILURE_CHARS_MAX);
    }
    for (const teardown of teardowns.reverse()) await Promise.resolve(teardown()).catch(() => {});
    yield { section, claim, failure };
  }
}

function contextOf(target: Target, teardowns: (() => unknown)[]): Context {
  const { url, token } = target;
  const own = token === null ? {} : { authorization: `Bearer ${token}` };
  const context: Context = {
    ...target,
    teardown: (callback) => void teardowns.push(callback as () => unknown),
    get: (path, headers) => getJson(url + path, { ...own, ...headers }),
    post: (path, body, headers) => postJson(url + path, body, { ...own, ...headers }),
    remove: async (path) => {
      const response = await fetch(url + path, { method: 'DELETE', headers: own });
      return { status: response.status, headers: response.headers, body: await response.json() };
    },
    stream: (path, headers) => openStream(context, url + path, { ...own, ...headers }),
  };
  return context;
}

/** An error body of RFC 9457 with this status. */
export function assertProblem({ status, headers, body }: Answer, expected: number): void {
  assert.equal(status, expected, `expected status ${expected}, not ${status}`);
  assert.match(String(headers.get('content-type')), /^application\/problem\+json/);
  for (const field of ['type', 'title', 'detail'])
    assert.equal(typeof body?.[field], 'string', `no ${field} in the problem`);
  assert.equal(body.status, expected, 'the problem has another status');
}
