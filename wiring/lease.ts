/** Keeps a process listed in the registry, if it was told of one: what each kind of process calls once. */
import { createActor } from 'xstate';
import { createLeaseActors } from '../actors/registry/keep-lease.js';
import { LOST_JITTER_MS_MAX, leaseDelayMs, otherProtocolDelayMs } from '../machines/backoff.js';
import { type LeaseContext, type ListedQueen, leaseHeartbeatMachine, leaseMachine } from '../machines/lease.js';
import type { Metric } from '../server/http/metrics.js';
import type { ComponentKind } from '../wire/registry.js';
import { hostOf, isLoopback } from '../wire/url.js';
import type { ProcessContext } from './process.js';

export interface LeaseInput {
  /** Undefined keeps no lease. */
  registryUrl: string | undefined;
  kind: ComponentKind;
  /** The component's own fields, as they are when it registers. */
  about: () => Record<string, unknown>;
  /** After each heartbeat: every queen there is. */
  onQueens?: (queens: ListedQueen[]) => void;
}

export interface KeptLease {
  /** Once the process listens. */
  start: () => void;
  metrics: Metric[];
  /** Unregisters; settles within about a second, whatever the registry does. */
  leave: () => Promise<void>;
}

export function keepLease(
  processContext: ProcessContext,
  { registryUrl, kind, about, onQueens }: LeaseInput,
): KeptLease {
  if (registryUrl === undefined) return { start: () => {}, metrics: [], leave: async () => {} };
  const { id, endpoint, outgoing, inspect, fail } = processContext;
  const { register, heartbeat, unregister } = createLeaseActors({ outgoing, endpoint, registryUrl, kind, id, about });
  const actor = createActor(
    leaseMachine.provide({
      actors: { register, unregister, heartbeat: leaseHeartbeatMachine.provide({ actors: { heartbeat } }) },
      actions: { hearQueens: (_, { queens }) => onQueens?.(queens) },
      delays: {
        retry: ({ context }) => {
          if (context.failure === 'protocol') return otherProtocolDelayMs();
          return leaseDelayMs(context.attempt + 1) + (context.attempt === 0 ? Math.random() * LOST_JITTER_MS_MAX : 0);
        },
      },
    }),
    { id: 'lease', inspect },
  );
  const gone = new Promise<void>((resolve) => {
    actor.subscribe({ complete: resolve, error: fail });
  });
  let started = false;
  return {
    start: () => {
      started = true;
      logLease(processContext, registryUrl);
      actor.start();
    },
    metrics: [
      {
        name: 'rbee_registered',
        help: '1 while the registry lists this process, as far as it knows.',
        type: 'gauge',
        read: () => (actor.getSnapshot().value === 'registered' ? 1 : 0),
      },
    ],
    leave: async () => {
      if (!started) return;
      actor.send({ type: 'leave' });
      await gone;
    },
  };
}

/** Which of its endpoints failed is for the machine's own history: here it would make one reason several. */
export function withoutPath(reason: string | null): string | null {
  return reason?.replace(/\/v1\/registry\/[a-z]+/, '') ?? null;
}

/** A line a change; why an attempt failed is said once, until it fails for another reason or succeeds. */
function logLease({ machineLog, log, endpoint }: ProcessContext, registryUrl: string): void {
  let told: string | null = null;
  let warned = false;
  machineLog.follow((event) => {
    if (event.type !== 'transition' || event.machine !== 'lease') return;
    const { url } = event.context as LeaseContext;
    const { to } = event.transition;
    const reason = withoutPath(event.transition.reason);
    if (to === 'registered') {
      told = null;
      log.info(`registered with ${registryUrl} as ${url}`);
      if (!warned && url !== null && !isLoopback(endpoint.address) && isLoopback(hostOf(url))) {
        warned = true;
        log.warn(
          `others are told ${url}, which only this machine can reach: name the registry by its address in --registry-url, or set --advertise-url`,
        );
      }
    }
    if (to === 'lost' && reason !== told) {
      told = reason;
      log.warn(`not registered: ${reason}; it is tried again, for ever, and all else goes on`);
    }
  });
}
