/** A queen's stream as a list of events and their arrival times, for benches that wait for an event. */
import http from 'node:http';
import { createParser } from 'eventsource-parser';
import type { Scope } from './scope.js';

interface Received {
  /** Date.now() on arrival. */
  at: number;
  // biome-ignore lint/suspicious/noExplicitAny: each bench reads other fields
  data: any;
}

export interface Follower {
  /** Resolves with the first event at or after `since` for which `matches` is true. */
  until: (
    what: string,
    since: number,
    matches: (data: Received['data']) => boolean,
    timeoutMs?: number,
  ) => Promise<Received>;
}

const KEPT_MAX = 10_000;

export async function follow(scope: Scope, queenUrl: string): Promise<Follower> {
  const events: Received[] = [];
  const listeners = new Set<(received: Received) => void>();
  const parser = createParser({
    onEvent: ({ data }) => {
      const received = { at: Date.now(), data: JSON.parse(data) };
      events.push(received);
      if (events.length > KEPT_MAX) events.shift();
      for (const listener of listeners) listener(received);
    },
  });
  await new Promise<void>((resolve, reject) => {
    const request = http.get(`${queenUrl}/v1/heartbeats/stream`, { agent: new http.Agent() }, (response) => {
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => parser.feed(chunk));
      response.on('error', () => {});
      resolve();
    });
    request.on('error', reject);
    scope.onEnd(() => void request.destroy());
  });
  return {
    until: (what, since, matches, timeoutMs = 30_000) =>
      new Promise((resolve, reject) => {
        const isWanted = (received: Received) => received.at >= since && matches(received.data);
        const before = events.find(isWanted);
        if (before) return resolve(before);
        const settle = () => {
          clearTimeout(timer);
          listeners.delete(listener);
        };
        const timer = setTimeout(() => {
          settle();
          reject(new Error(`no event on the queen's stream within ${timeoutMs} ms: ${what}`));
        }, timeoutMs);
        const listener = (received: Received) => {
          if (!isWanted(received)) return;
          settle();
          resolve(received);
        };
        listeners.add(listener);
      }),
  };
}
