/** Keeps a process listed in the registry of its `--registry-url`; each kind of process uses it once. */
import { createActor } from 'xstate';
import { createLeaseActors } from '../actors/registry/keep-lease.js';
import { LOST_JITTER_MS_MAX, leaseDelayMs, otherProtocolDelayMs } from '../machines/backoff.js';
import { type LeaseContext, type ListedQueen, leaseHeartbeatMachine, leaseMachine } from '../machines/lease.js';
import type { Metric } from '../server/http/metrics.js';
import type { ComponentKind } from '../wire/registry.js';
import { hostOf, isLoopback } from '../wire/url.js';
import { OncePerReason } from './once-per-reason.js';
import type { ProcessContext } from './process.js';

export interface LeaseInput {
  /** Undefined: no lease is kept. */
  registryUrl: string | undefined;
  kind: ComponentKind;
  /** The component's own fields; read at each registration. */
  about: () => Record<string, unknown>;
  /** Called after each heartbeat with all registered queens. */
  onQueens?: (queens: ListedQueen[]) => void;
}

export interface KeptLease {
  /** To be called once the process listens. */
  start: () => void;
  metrics: Metric[];
  /** Unregisters. Settles within about a second, also where the registry does not answer. */
  leave: () => Promise<void>;
}

export function keepLease(processContext: ProcessContext, input: LeaseInput): KeptLease {
  const { registryUrl } = input;
  if (registryUrl === undefined) return { start: () => {}, metrics: [], leave: async () => {} };
  const actor = createLeaseActor(processContext, { ...input, registryUrl });
  const ended = new Promise<void>((resolve) => {
    actor.subscribe({ complete: resolve, error: processContext.fail });
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
      await ended;
    },
  };
}

function createLeaseActor(
  { id, endpoint, outgoing, inspect }: ProcessContext,
  { registryUrl, kind, about, onQueens }: LeaseInput & { registryUrl: string },
) {
  const { register, heartbeat, unregister } = createLeaseActors({ outgoing, endpoint, registryUrl, kind, id, about });
  return createActor(
    leaseMachine.provide({
      actors: { register, unregister, heartbeat: leaseHeartbeatMachine.provide({ actors: { heartbeat } }) },
      actions: { onQueens: (_, { queens }) => onQueens?.(queens) },
      delays: {
        retry: ({ context }) => {
          if (context.failure === 'protocol') return otherProtocolDelayMs();
          return leaseDelayMs(context.attempt + 1) + (context.attempt === 0 ? Math.random() * LOST_JITTER_MS_MAX : 0);
        },
      },
    }),
    { id: 'lease', inspect },
  );
}

/** A reason without the path of the registry's route, so that one cause is logged as one. The machine log keeps the path. */
export function withoutPath(reason: string | null): string | null {
  return reason?.replace(/\/v1\/registry\/[a-z]+/, '') ?? null;
}

/** One line per change. */
function logLease({ machineLog, log, endpoint }: ProcessContext, registryUrl: string): void {
  const losses = new OncePerReason();
  let warned = false;
  machineLog.follow((event) => {
    if (event.type !== 'transition' || event.machine !== 'lease') return;
    const { url } = event.context as LeaseContext;
    const { to } = event.transition;
    const reason = withoutPath(event.transition.reason);
    if (to === 'registered') {
      losses.clear(registryUrl);
      log.info(`registered with ${registryUrl} as ${url}`);
      if (!warned && url !== null && !isLoopback(endpoint.address) && isLoopback(hostOf(url))) {
        warned = true;
        log.warn(
          `registered as ${url}, which only this machine can reach: name the registry by its address in --registry-url, or set --advertise-url`,
        );
      }
    }
    if (to === 'lost' && losses.isNew(registryUrl, `${reason}`)) {
      log.warn(`not registered: ${reason}; retrying, not required for operation`);
    }
  });
}
