/** better-sse as its documentation shows it: a channel, and a session a reader. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { servePeer } from './feed.js';

interface BetterSse {
  createChannel: () => { register: (session: unknown) => void; broadcast: (data: unknown, event: string) => void };
  createSession: (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;
}

// By a name that the compiler does not follow: whoever has not installed it builds all the same.
const name = 'better-sse';
const { createChannel, createSession } = (await import(name)) as BetterSse;
const channel = createChannel();

servePeer(
  async (request, response) => channel.register(await createSession(request, response)),
  (event) => channel.broadcast(event, 'heartbeat'),
);
