/** All jobs of a process: so many run at once, the others wait their turn. Root of its own system. */
import { type ActorRefFrom, setup } from 'xstate';
import type { Operation } from '../wire/jobs.js';
import { jobMachine } from './job.js';

/** Jobs that run at once. */
export const RUNNING_MAX = 64;

export interface JobsContext {
  running: string[];
  waiting: string[];
}

export type JobsEvent =
  | { type: 'job.post'; jobId: string; operation: Operation }
  /** Answers whether there was one to cancel. */
  | { type: 'job.cancel'; jobId: string; respond: (cancelled: boolean) => void }
  /** Ends all of them. */
  | { type: 'end'; reason: string };

const s = setup({
  types: { context: {} as JobsContext, events: {} as JobsEvent },
  actors: { job: jobMachine },
});

const post = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'job.post') return;
  const { jobId, operation } = event;
  enqueue.spawnChild('job', { id: jobId, input: { jobId, operation } });
  if (context.running.length >= RUNNING_MAX) {
    enqueue.assign({ waiting: [...context.waiting, jobId] });
    return;
  }
  enqueue.assign({ running: [...context.running, jobId] });
  enqueue.sendTo(jobId, { type: 'job.run' });
});

const cancel = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'job.cancel') return;
  const { jobId, respond } = event;
  const live = context.running.includes(jobId) || context.waiting.includes(jobId);
  if (live) enqueue.sendTo(jobId, { type: 'job.cancel' });
  enqueue(() => respond(live));
});

/** One that is over stays among the children until it is stopped; its place goes to the one that waited longest. */
const release = s.enqueueActions(({ context, event, enqueue }) => {
  const { type, actorId } = event as { type: string; actorId?: string };
  if (!/^xstate\.(done|error)\.actor\./.test(type) || actorId === undefined) return;
  enqueue.stopChild(actorId);
  const running = context.running.filter((id) => id !== actorId);
  const waiting = context.waiting.filter((id) => id !== actorId);
  const next = running.length < RUNNING_MAX ? waiting.shift() : undefined;
  enqueue.assign({ running: next === undefined ? running : [...running, next], waiting });
  if (next !== undefined) enqueue.sendTo(next, { type: 'job.run' });
});

export const jobsMachine = s.createMachine({
  id: 'jobs',
  context: { running: [], waiting: [] },
  on: {
    'job.post': { actions: post },
    'job.cancel': { actions: cancel },
    end: {
      actions: s.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'end') return;
        for (const id of [...context.waiting, ...context.running]) {
          enqueue.sendTo(id, { type: 'job.end', reason: event.reason });
        }
      }),
    },
    '*': { actions: release },
  },
});

export type JobsRef = ActorRefFrom<typeof jobsMachine>;
