/**
 * All jobs of a process. Each belongs to a lane; so many of one lane run at once, the others wait their turn, and no lane
 * waits for another. Root of its own system.
 */
import { type ActorRefFrom, setup } from 'xstate';
import { jobMachine } from './job.js';

/** Jobs of one lane that run at once. */
export const RUNNING_MAX = 64;

interface Lane {
  running: string[];
  waiting: string[];
}

export interface JobsContext {
  /** Only those that have jobs. */
  lanes: Record<string, Lane>;
}

export type JobsEvent =
  | { type: 'job.post'; jobId: string; lane: string }
  /** Answers whether there was one to cancel. */
  | { type: 'job.cancel'; jobId: string; respond: (cancelled: boolean) => void }
  /** Ends all of them. */
  | { type: 'end'; reason: string };

const s = setup({
  types: { context: {} as JobsContext, events: {} as JobsEvent },
  actors: { job: jobMachine },
  actions: {
    /** Tells that a job waits: so many of its lane wait before it. */
    notifyWaiting: (_, _params: { jobId: string; lane: string; ahead: number }) => {},
  },
});

/** An id may be any word: a lane called `constructor` is none that was there before. */
const laneOf = ({ lanes }: JobsContext, name: string): Lane =>
  (Object.hasOwn(lanes, name) ? lanes[name] : undefined) ?? { running: [], waiting: [] };

const nameOfLane = ({ lanes }: JobsContext, jobId: string): string | undefined =>
  Object.keys(lanes).find((name) => lanes[name]?.running.includes(jobId) || lanes[name]?.waiting.includes(jobId));

const post = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'job.post') return;
  const { jobId, lane: name } = event;
  const { running, waiting } = laneOf(context, name);
  enqueue.spawnChild('job', { id: jobId, input: { jobId } });
  if (running.length >= RUNNING_MAX) {
    enqueue.assign({ lanes: { ...context.lanes, [name]: { running, waiting: [...waiting, jobId] } } });
    enqueue({ type: 'notifyWaiting', params: { jobId, lane: name, ahead: waiting.length } });
    return;
  }
  enqueue.assign({ lanes: { ...context.lanes, [name]: { running: [...running, jobId], waiting } } });
  enqueue.sendTo(jobId, { type: 'job.run' });
});

const cancel = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'job.cancel') return;
  const { jobId, respond } = event;
  const live = nameOfLane(context, jobId) !== undefined;
  if (live) enqueue.sendTo(jobId, { type: 'job.cancel' });
  enqueue(() => respond(live));
});

/** One that is over stays among the children until it is stopped; its place goes to the one that waited longest. */
const release = s.enqueueActions(({ context, event, enqueue }) => {
  const { type, actorId } = event as { type: string; actorId?: string };
  if (!/^xstate\.(done|error)\.actor\./.test(type) || actorId === undefined) return;
  enqueue.stopChild(actorId);
  const name = nameOfLane(context, actorId);
  if (name === undefined) return;
  const lane = laneOf(context, name);
  const running = lane.running.filter((id) => id !== actorId);
  const waiting = lane.waiting.filter((id) => id !== actorId);
  const next = running.length < RUNNING_MAX ? waiting.shift() : undefined;
  if (next !== undefined) running.push(next);
  const { [name]: _, ...others } = context.lanes;
  enqueue.assign({ lanes: running.length === 0 ? others : { ...others, [name]: { running, waiting } } });
  if (next !== undefined) enqueue.sendTo(next, { type: 'job.run' });
});

export const jobsMachine = s.createMachine({
  id: 'jobs',
  context: { lanes: {} },
  on: {
    'job.post': { actions: post },
    'job.cancel': { actions: cancel },
    end: {
      actions: s.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'end') return;
        const lanes = Object.values(context.lanes);
        for (const id of [...lanes.flatMap(({ waiting }) => waiting), ...lanes.flatMap(({ running }) => running)]) {
          enqueue.sendTo(id, { type: 'job.end', reason: event.reason });
        }
      }),
    },
    '*': { actions: release },
  },
});

export type JobsRef = ActorRefFrom<typeof jobsMachine>;
