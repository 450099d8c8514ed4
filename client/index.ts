/**
 * The typed client of a queen or a hive: what the CLI, the tests and other people's programs use, in Node and in a
 * browser.
 *
 *     const queen = createClient({ url: 'http://127.0.0.1:7833' });
 *     for (const hive of (await queen.hives()).hives) console.log(hive.hive_id, hive.state);
 *     for await (const { event, data } of queen.heartbeats()) console.log(event, data);
 *
 * Every method throws `RbeeUnreachable` (nothing answers), `RbeeProblem` (the process refused) or
 * `RbeeProtocolMismatch` (it is not a version of rbee that this client knows), and nothing else.
 */
import type { TransportOptions } from './connection.js';
import { jobMethods, processMethods, streamMethods, swarmMethods } from './methods.js';
import { createTransport } from './transport.js';

export type { ChatEvent, ChatInput, ChatTurn } from './chat.js';
export type { FetchInit, FetchLike, FetchResponse } from './connection.js';
export { isRbeeError, type RbeeError, RbeeProblem, RbeeProtocolMismatch, RbeeUnreachable } from './errors.js';
export type { HeartbeatEvent, MachineStreamEvent, StreamNotice } from './events.js';
export type { FollowOptions, LinkDetail, LinkState } from './follow.js';
export type { JobEvent, JobEventsOptions } from './jobs.js';

export interface ClientOptions extends TransportOptions {
  /** Called with one sentence for each event that could not be read; the stream goes on without it. */
  onUnreadable?: ((detail: string) => void) | undefined;
}

export type Client = ReturnType<typeof createClient>;

/** Opens nothing yet. Throws a TypeError for a URL or token that cannot be one. */
export function createClient(options: ClientOptions) {
  const transport = createTransport(options);
  return {
    /** Normalised, without a trailing slash. */
    url: transport.url,
    ...processMethods(transport),
    ...swarmMethods(transport),
    ...jobMethods(transport),
    ...streamMethods(transport, (detail) => options.onUnreadable?.(detail)),
  };
}
