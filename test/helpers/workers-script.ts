/** Sends a store of workers what workers, spawners, hives and polls report, in few words. */
import { decisionOf } from '../../stores/decision.js';
import type { ListedComponent } from '../../stores/directory.js';
import { createFleet } from '../../stores/fleet.js';
import type { PollAnswer, WorkerPoll } from '../../stores/worker-polls.js';
import type { WorkerInfo } from '../../wire/worker.js';

export const at = (s: number) => ({ ms: s * 1000, iso: new Date(s * 1000).toISOString() });

/** A fleet with its workers, and what tests send to it; times are in seconds. */
export function createWorkersScript() {
  const fleet = createFleet();
  const { workers } = fleet;
  const polls: WorkerPoll[] = [];
  workers.onPoll((poll) => polls.push(poll));
  /** The polls that an event orders. */
  const pollsOf = (send: () => void) => {
    const from = polls.length;
    send();
    return polls.slice(from);
  };
  const registered = (id: string, s: number, more: object = {}) =>
    workers.send({
      ...{ type: 'worker.registered', now: at(s), respond: () => {} },
      worker: {
        ...{ id, url: `http://a:8080`, port: 8080, model: 'tiny', workerType: 'llm', spawnedBy: 'keeper-desk' },
        ...{ hiveId: undefined, ...more },
      },
    });
  /** Whether it is polled at once. */
  const listed = (id: string, s: number, more: Partial<ListedComponent> = {}) => {
    const component: ListedComponent = { kind: 'worker', id, url: `http://${id}:8080`, about: {}, ...more };
    return pollsOf(() => workers.send({ type: 'worker.listed', component, now: at(s), poll: true })).length > 0;
  };
  const beat = (id: string, s: number, more: Partial<WorkerInfo> = {}) => {
    const plain = { id, model_id: 'tiny', device: 'GPU-0', port: 8080, url: 'http://a:8080', hive_id: null };
    const worker = { ...plain, status: 'busy', ...more };
    return decisionOf((respond) => workers.send({ type: 'worker.heartbeat', worker, now: at(s), respond }));
  };
  const answered = (id: string, s: number, more: Partial<PollAnswer> = {}) =>
    workers.send({ type: 'poll.answered', id, url: 'http://a:8080', run: null, named: false, ...more, now: at(s) });
  const failed = (id: string, reason: string, answered = false) =>
    workers.send({ type: 'poll.failed', id, reason, answered });
  const capable = (id: string, ...models: string[]) =>
    workers.send({ type: 'poll.capabilities', id, capabilities: { worker_id: id, devices: [], models } });
  const is = (id: string, s: number) => {
    const worker = workers.get(id, s * 1000);
    return worker && `${worker.online ? 'online' : 'offline'}, ${worker.available ? 'available' : 'not available'}`;
  };
  const show = (state: 'connecting' | 'streaming' | 'lost', s: number) =>
    fleet.shown({
      hiveId: 'gpu-0',
      hiveUrl: 'http://h',
      state,
      ...{ stale: false, reason: null, nextAttemptAt: null },
      now: at(s),
    });
  /** gpu-0 lists these workers. */
  const list = (s: number, ...list: object[]) =>
    fleet.telemetry({
      heartbeat: { type: 'telemetry', hive_id: 'gpu-0', workers: list },
      receivedAt: at(s).iso,
      first: false,
    });
  const duePolls = (s: number) => pollsOf(() => workers.send({ type: 'polls.due', nowMs: s * 1000 }));
  const due = (s: number) => duePolls(s).map(({ id }) => id);
  return {
    fleet,
    workers,
    pollsOf,
    duePolls,
    registered,
    listed,
    beat,
    answered,
    failed,
    capable,
    is,
    show,
    list,
    due,
  };
}
