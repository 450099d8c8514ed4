import t from 'tap';
import { fromCallback, fromPromise } from 'xstate';
import { createAwakeClock } from '../../actors/process/awake-clock.js';
import { openKnownHives } from '../../actors/queen/known-hives.js';
import { hiveSubscriptionMachine } from '../../machines/hive-subscription.js';
import { type AskInput, seekMachine } from '../../machines/seek.js';
import type { SubscribeInput, SubscriptionEvent } from '../../machines/subscription-events.js';
import { createFleet } from '../../stores/fleet.js';
import { HiveAdmission } from '../../wiring/hive-admission.js';
import { Subscriptions } from '../../wiring/subscriptions.js';

const HIVE = { hiveId: 'gpu-0', hiveUrl: 'http://a:7835', instance: 'one', trusted: false };
const ELSEWHERE = { ...HIVE, hiveUrl: 'http://b:7835', instance: 'two' };

function create(kind: 'queen' | 'keeper', hivesMax = 10) {
  const clock = createAwakeClock();
  const now = () => ({ ms: clock.now(), iso: '' });
  const fleet = createFleet();
  const ask = fromPromise<void, AskInput>(() => new Promise(() => {}));
  let send: (event: SubscriptionEvent) => void = () => {};
  const machine = hiveSubscriptionMachine.provide({
    actors: {
      subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(({ sendBack }) => {
        send = sendBack;
      }),
      pollWorkers: fromCallback(() => {}),
      ask,
      seek: seekMachine.provide({ actors: { ask } }),
    },
    actions: {
      publish: ({ context: { hiveId, hiveUrl, reason } }, { state, stale }) =>
        fleet.shown({ hiveId, hiveUrl, state, stale, reason, nextAttemptAt: null, now: now() }),
    },
  });
  const subscriptions = new Subscriptions({ machine, clock, hivesMax, onError: (_hiveId, error) => t.error(error) });
  const state = { path: '', read: () => null, write: () => {}, release: () => {} };
  const known = openKnownHives(state, () => {});
  const admission = new HiveAdmission({ kind, subscriptions, fleet, known, clock, now });
  t.teardown(() => subscriptions.stop());
  return {
    ...{ admission, known },
    conflicts: () => fleet.conflicts(now().ms),
    open: () => send({ type: 'opened' }),
    fail: (reason: string) => send({ type: 'closed', reason }),
  };
}

t.test('the answer to a hive has the reason why the attempt after its last callback failed', async (t) => {
  const { admission, open, fail } = create('queen');
  t.same(admission.ready(HIVE, null), { outcome: 'subscribed', lastFailure: null });
  open();
  fail('it closed the stream');
  t.same(admission.ready(HIVE, null), { outcome: 'subscribed', lastFailure: 'it closed the stream' });
});

t.test('a refused hive is listed as a conflict until it is accepted, and is not asked', async (t) => {
  const { admission, conflicts, open, fail } = create('queen');
  admission.ready(HIVE, null);
  open();
  t.match(admission.ready(ELSEWHERE, null), { outcome: 'conflict', reason: /holds the name gpu-0.*--hive-id/ });
  t.match(conflicts(), [{ hive_id: 'gpu-0', hive_url: 'http://b:7835', holder_url: 'http://a:7835' }]);
  t.match(admission.whyNotAsk('http://b:7835', null), /in conflict/);
  fail('it closed the stream');
  t.match(admission.ready(ELSEWHERE, null), { outcome: 'subscribed' });
  t.same(conflicts(), []);
});

t.test('a hive of another protocol is listed as a conflict, and one beyond the limit is not', async (t) => {
  const { admission, conflicts } = create('queen', 0);
  t.same(admission.ready(HIVE, 'you speak protocol 2'), { outcome: 'protocol', reason: 'you speak protocol 2' });
  t.match(conflicts(), [{ reason: 'you speak protocol 2', holder_url: null }]);
  t.match(admission.ready(ELSEWHERE, null), { outcome: 'full', reason: /--max-hives/ });
  t.equal(conflicts().length, 1);
});

t.test('a hive that streams or was forgotten is not asked by a queen', async (t) => {
  const { admission, known, open } = create('queen');
  t.equal(admission.whyNotAsk(HIVE.hiveUrl, 'gpu-0'), null);
  known.forget('gpu-1', 'http://c:7835');
  t.match(admission.whyNotAsk('http://c:7835', null), /was forgotten/);
  admission.ready(HIVE, null);
  open();
  t.match(admission.whyNotAsk(HIVE.hiveUrl, 'gpu-0'), /is hive gpu-0 now/);
  t.match(admission.whyNotAsk('http://b:7835', 'gpu-0'), /streams already/);
  t.equal(admission.isRead('gpu-0', 'one'), true);
  t.equal(admission.isRead('gpu-9', 'one'), false);
});

t.test('a keeper lists a conflict for another hive of a name that it reads, and none for the same hive', async (t) => {
  const { admission, conflicts, open } = create('keeper');
  admission.found(HIVE);
  open();
  admission.found({ ...HIVE, hiveUrl: 'http://b:7835' });
  t.same(conflicts(), []);
  admission.found(ELSEWHERE);
  t.match(conflicts(), [{ hive_url: 'http://b:7835', holder_url: 'http://a:7835' }]);
});
