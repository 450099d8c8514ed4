/** What a queen's subscription to a hive starts with, which events it takes, and what it publishes. */
import type { Failure } from './failure.js';
import type { KnownHive, ReadyEvent } from './hive-name.js';
import type { SeekReport } from './seek.js';

export type SubscriptionInput = KnownHive & { origin: 'callback' | 'known' };

export type SubscriptionEvent =
  | ReadyEvent
  | { type: 'hive.forget'; respond: (answer: ForgetAnswer) => void }
  /** The response headers arrived, and they are those of a stream. */
  | { type: 'answered' }
  /** Its first event arrived: a stream without events is not open. */
  | { type: 'opened' }
  /** An event that is no hive's: the reason of the loss if the stream never opens. */
  | { type: 'event.invalid'; detail: string }
  | { type: 'failed'; failure: Failure }
  | { type: 'closed'; reason: string }
  | { type: 'interval'; ms: number }
  /** Nothing arrived for so long; sent once at each limit. */
  | { type: 'silent'; ms: number }
  | { type: 'heard' }
  | SeekReport;

export type ForgetAnswer = 'forgotten' | 'streaming' | 'unknown';

export interface SubscribeInput {
  hiveId: string;
  hiveUrl: string;
  trusted: boolean;
  /** The last one that the hive stated: both ends of a subscription measure silence by the same interval. */
  intervalMs: number;
}

/** What `publish` is given: the state that the queen's readers are shown. */
export interface ShownState {
  state: 'connecting' | 'streaming' | 'lost' | 'forgotten';
  stale: boolean;
}
