/** better-sse, used as in its documentation: a channel, and a session for each reader. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { servePeer } from './feed.js';

interface BetterSse {
  createChannel: () => { register: (session: unknown) => void; broadcast: (data: unknown, event: string) => void };
  createSession: (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;
}

// A name that the compiler cannot resolve, so that the project builds without the package.
const name = 'better-sse';
const { createChannel, createSession } = (await import(name)) as BetterSse;
const channel = createChannel();

servePeer(
  async (request, response) => channel.register(await createSession(request, response)),
  (event) => channel.broadcast(event, 'heartbeat'),
);
