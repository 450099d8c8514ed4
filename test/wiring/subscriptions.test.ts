import t from 'tap';
import { fromCallback, fromPromise } from 'xstate';
import { createAwakeClock } from '../../actors/process/awake-clock.js';
import { hiveSubscriptionMachine } from '../../machines/hive-subscription.js';
import { type AskInput, seekMachine } from '../../machines/seek.js';
import type { SubscribeInput, SubscriptionEvent } from '../../machines/subscription-events.js';
import { createMachineLog } from '../../stores/machine-log.js';
import { Subscriptions } from '../../wiring/subscriptions.js';

function create({ hivesMax = 10 } = {}) {
  const ask = fromPromise<void, AskInput>(() => new Promise(() => {}));
  const streams = new Map<string, (event: SubscriptionEvent) => void>();
  const published: string[] = [];
  const failed: string[] = [];
  const log = createMachineLog(
    () => '',
    () => {},
  );
  const machine = hiveSubscriptionMachine.provide({
    actors: {
      subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(({ input, sendBack }) => {
        streams.set(input.hiveId, sendBack);
        return () => streams.delete(input.hiveId);
      }),
      pollWorkers: fromCallback(() => {}),
      ask,
      seek: seekMachine.provide({ actors: { ask } }),
    },
    actions: {
      publish: ({ context }, { state }) => {
        if (context.hiveId === 'faulty') throw new Error('a fault in our own code');
        published.push(`${context.hiveId} ${state}`);
      },
    },
  });
  const subscriptions = new Subscriptions({
    ...{ machine, hivesMax, clock: createAwakeClock(), inspect: log.observe },
    onError: (hiveId) => failed.push(hiveId),
  });
  const call = (hiveId: string) =>
    subscriptions.call('hive.ready', { hiveId, hiveUrl: `http://${hiveId}`, instance: null, trusted: false, at: 0 })
      .outcome;
  return { subscriptions, call, streams, published, failed, ids: () => log.list().map(({ id }) => id) };
}

t.test('a subscription that fails is dropped and reported, and the others go on', async (t) => {
  const { subscriptions, call, streams, published, failed } = create();
  for (const hiveId of ['gpu-0', 'faulty', 'gpu-1']) t.equal(call(hiveId), 'subscribed');
  streams.get('faulty')?.({ type: 'opened' });
  for (const hiveId of ['gpu-0', 'gpu-1']) streams.get(hiveId)?.({ type: 'opened' });
  t.same(failed, ['faulty']);
  t.same(published, ['gpu-0 streaming', 'gpu-1 streaming']);
  t.equal(subscriptions.size, 2);
  t.equal(call('faulty'), 'subscribed', 'its next callback opens another');
  subscriptions.stop();
});

t.test('more hives than the limit are refused, until one is forgotten', async (t) => {
  const { subscriptions, call, streams } = create({ hivesMax: 2 });
  t.same(['a', 'b', 'c'].map(call), ['subscribed', 'subscribed', 'full']);
  streams.get('a')?.({ type: 'opened' });
  t.equal(subscriptions.forget('a'), 'streaming');
  streams.get('a')?.({ type: 'closed', reason: 'it closed the stream' });
  t.equal(subscriptions.forget('a'), 'forgotten');
  t.equal(subscriptions.forget('a'), 'unknown');
  t.equal(call('c'), 'subscribed');
  t.equal(call('b'), 'subscribed', 'a hive that has a subscription needs no further one');
  subscriptions.stop();
});

t.test('each subscription is inspected under the name of its hive, and ends with the others', async (t) => {
  const { subscriptions, call, ids, streams } = create();
  subscriptions.start([{ hiveId: 'old', hiveUrl: 'http://old', instance: null, trusted: false }]);
  call('gpu-0');
  t.same(ids(), ['hive-subscription/gpu-0', 'hive-subscription/old']);
  subscriptions.stop();
  t.same(ids(), []);
  t.equal(streams.size, 0);
  t.equal(subscriptions.size, 0);
});
