/** A queen's stream as a list of what happened and when: for benches that wait for something to be said. */
import http from 'node:http';
import { createParser } from 'eventsource-parser';
import type { Scope } from './scope.js';

export interface Said {
  /** Date.now() of its arrival. */
  at: number;
  // biome-ignore lint/suspicious/noExplicitAny: benches look into it freely
  data: any;
}

export interface Follower {
  /** Resolves with the first event at or after `since` for which `holds` is true. */
  until: (what: string, since: number, holds: (data: Said['data']) => boolean, timeoutMs?: number) => Promise<Said>;
}

const KEPT_MAX = 10_000;

export async function follow(scope: Scope, queenUrl: string): Promise<Follower> {
  const heard: Said[] = [];
  const listeners = new Set<(said: Said) => void>();
  const parser = createParser({
    onEvent: ({ data }) => {
      const said = { at: Date.now(), data: JSON.parse(data) };
      heard.push(said);
      if (heard.length > KEPT_MAX) heard.shift();
      for (const listener of listeners) listener(said);
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
    until: (what, since, holds, timeoutMs = 30_000) =>
      new Promise((resolve, reject) => {
        const fits = (said: Said) => said.at >= since && holds(said.data);
        const before = heard.find(fits);
        if (before) return resolve(before);
        const settle = () => {
          clearTimeout(timer);
          listeners.delete(listener);
        };
        const timer = setTimeout(() => {
          settle();
          reject(new Error(`the queen's stream did not say within ${timeoutMs} ms: ${what}`));
        }, timeoutMs);
        const listener = (said: Said) => {
          if (!fits(said)) return;
          settle();
          resolve(said);
        };
        listeners.add(listener);
      }),
  };
}
