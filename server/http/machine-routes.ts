/** The live state machines of a process: a list, and a stream of their transitions. */
import { Type } from '@sinclair/typebox';
import type { MachineLog } from '../../stores/machine-log.js';
import { MachineEvent, MachineList } from '../../wire/machines.js';
import { answerJson, type Route } from './route.js';
import { Broadcast } from './sse/broadcast.js';
import { frame } from './sse/frame.js';

/** A reader that is further behind has most likely lost its connection: transitions are rare. */
const FRAMES_MAX = 1_000;

export function machineRoutes(machineLog: MachineLog): { routes: Route[]; stream: Broadcast } {
  const stream = machineStream(machineLog);
  const routes: Route[] = [
    {
      method: 'GET',
      path: '/v1/machines',
      summary: 'The live state machines of this process and their last transitions.',
      query: { under: { description: 'Only the machine of this id, and those below it.', schema: Type.String() } },
      answers: { 200: { description: 'All machines.', schema: MachineList } },
      handle: (ctx) => {
        const { under } = ctx.query;
        answerJson(ctx, { machines: machineLog.list(typeof under === 'string' ? under : undefined) });
      },
    },
    {
      method: 'GET',
      path: '/v1/machines/stream',
      summary: 'All machines, then each transition as it happens.',
      answers: { 200: { description: '`event: machine`', schema: MachineEvent, type: 'text/event-stream' } },
      handle: (ctx) => stream.open(ctx),
    },
  ];
  return { routes, stream };
}

function machineStream(machineLog: MachineLog): Broadcast {
  const frameOf = (event: MachineEvent) => frame('machine', JSON.stringify(event));
  const stream = new Broadcast({
    framesMax: FRAMES_MAX,
    coalesceMs: 40,
    snapshot: () => machineLog.list().map((entry) => frameOf({ type: 'machine', ...entry })),
    snapshotAfterLag: true,
  });
  machineLog.follow(
    (event) => stream.push(frameOf(event)),
    () => stream.readers.size > 0,
  );
  return stream;
}
