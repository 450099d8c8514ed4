import t from 'tap';
import { fromCallback, fromPromise } from 'xstate';
import type { ReadyAnswer, ReadyEvent } from '../../machines/hive-name.js';
import { hiveSubscriptionMachine } from '../../machines/hive-subscription.js';
import { type AskInput, seekMachine } from '../../machines/seek.js';
import type { SubscribeInput, SubscriptionEvent, SubscriptionInput } from '../../machines/subscription-events.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { act, createScript, type Script } from './transcript.js';

const HIVE = { hiveId: 'gpu-0', hiveUrl: 'http://a:7835', instance: 'one', trusted: false };

function subscribe(script: Script, input: Partial<SubscriptionInput> = {}) {
  let live = 0;
  const shown: string[] = [];
  const ask = fromPromise<void, AskInput>(async ({ input }) => {
    script.write(`ask ${input.hiveUrl}`);
    throw { kind: 'refused', message: 'connection refused' };
  });
  const machine = hiveSubscriptionMachine.provide({
    actors: {
      subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(({ input }) => {
        live += 1;
        script.write(`open ${input.hiveUrl}`);
        return () => {
          live -= 1;
          script.write(`close ${input.hiveUrl}`);
        };
      }),
      pollWorkers: fromCallback(() => {}),
      ask,
      seek: seekMachine.provide({ actors: { ask } }),
    },
    actions: {
      publish: ({ context }, { state, stale }) => {
        const line = `show ${state}${stale ? ', stale' : ''}${state === 'lost' ? ` (${context.reason})` : ''}`;
        if (shown.at(-1) !== line) script.write(line);
        shown.push(line);
      },
      noteUnreachable: ({ context }) => script.write(`unreachable (${context.failure}: ${context.reason})`),
    },
  });
  const actor = act(script, 'subscription', machine, { ...HIVE, origin: 'callback', ...input });
  return {
    actor,
    shown,
    live: () => live,
    ready: (event: Partial<ReadyEvent> = {}) => {
      let answer: ReadyAnswer | undefined;
      actor.send({
        type: 'hive.ready',
        ...HIVE,
        at: script.clock.now(),
        respond: (given) => (answer = given),
        ...event,
      });
      return answer?.outcome;
    },
  };
}

t.test('a hive is shown when its first event has arrived, not when its stream answers', async (t) => {
  const script = createScript();
  const { actor, shown } = subscribe(script);
  await script.pass(100);
  actor.send({ type: 'answered' });
  await script.pass(100);
  t.same(shown, []);
  actor.send({ type: 'opened' });
  t.same(shown, ['show streaming']);
  actor.stop();
});

t.test('a hive whose stream never opens leaves no entry', async (t) => {
  const script = createScript();
  const { actor, shown, live } = subscribe(script);
  await script.pass(5_000);
  t.equal(actor.getSnapshot().status, 'done');
  t.same(shown, []);
  t.equal(live(), 0);
  t.match(script.lines.join(), /unreachable \(timeout: .*did not open its stream within 5 s\)/, 'but it is reported');
  actor.stop();
});

t.test('a stream that answers and brings no event is late after 3 s and lost after 8 s, again and again', async (t) => {
  const script = createScript();
  const { actor, ready } = subscribe(script);
  for (let n = 0; n < 2; n += 1) {
    actor.send({ type: 'answered' });
    await script.pass(8_000);
    t.equal(actor.getSnapshot().value, 'lost');
    t.equal(ready(), 'subscribed');
  }
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a stream of invalid events is lost with their error as the reason', async (t) => {
  const script = createScript();
  const { actor } = subscribe(script);
  actor.send({ type: 'answered' });
  actor.send({ type: 'event.invalid', detail: '/workers: expected array' });
  await script.pass(8_000);
  t.match(actor.getSnapshot(), { value: 'lost', context: { reason: /not understood: \/workers/ } });
  actor.stop();
});

t.test('a stream that replaces another and brings no event is stale, then lost', async (t) => {
  const script = createScript();
  const { actor, ready, shown } = subscribe(script);
  actor.send({ type: 'opened' });
  actor.send({ type: 'interval', ms: 60_000 });
  ready();
  actor.send({ type: 'answered' });
  await script.pass(2_900);
  t.equal(shown.at(-1), 'show streaming');
  await script.pass(200);
  t.equal(shown.at(-1), 'show streaming, stale');
  await script.pass(5_000);
  t.match(shown.at(-1), /^show lost .*no event arrives/);
  actor.stop();
});

t.test('a stream that is lost after ten silent seconds does not reset the search', async (t) => {
  const script = createScript();
  const { actor, ready } = subscribe(script);
  for (let n = 0; n < 4; n += 1) {
    actor.send({ type: 'opened' });
    await script.pass(10_000);
    actor.send({ type: 'silent', ms: 10_000 });
    await script.pass(100);
    ready();
  }
  t.equal(script.lines.filter((line) => line.includes('ask ')).length, 1, 'asked at once after the first loss only');
  actor.send({ type: 'opened' });
  await script.pass(15_000);
  actor.send({ type: 'closed', reason: 'it closed the stream' });
  await script.pass(100);
  t.equal(script.lines.filter((line) => line.includes('ask ')).length, 2, 'and after one that lasted');
  actor.stop();
});

const outOfFiles = { kind: 'exhausted', message: 'too many open files' } as const;

t.test(
  'a stream that cannot be opened for lack of our own descriptors is retried before the hive is lost',
  async (t) => {
    const script = createScript();
    const { actor, ready, shown } = subscribe(script);
    actor.send({ type: 'opened' });
    ready();
    for (let n = 0; n < 5; n += 1) {
      actor.send({ type: 'failed', failure: outOfFiles });
      await script.pass(1_000);
    }
    t.equal(shown.at(-1), 'show streaming');
    actor.send({ type: 'opened' });
    t.equal(shown.at(-1), 'show streaming');
    ready();
    for (let n = 0; n < 6; n += 1) {
      actor.send({ type: 'failed', failure: outOfFiles });
      await script.pass(1_000);
    }
    t.equal(shown.at(-1), 'show lost (too many open files)');
    actor.stop();
  },
);

t.test(
  'a failure that a person must fix is the whole reason; any other is added to how the hive was lost',
  async (t) => {
    const script = createScript();
    const { actor } = subscribe(script);
    actor.send({ type: 'opened' });
    actor.send({ type: 'closed', reason: 'it closed the stream' });
    actor.send({ type: 'seek.failed', failure: { kind: 'unauthorized', message: 'answered 401' } });
    t.match(actor.getSnapshot().context, { seekReason: 'answered 401' });
    actor.send({ type: 'seek.failed', failure: { kind: 'refused', message: 'connection refused' } });
    t.match(actor.getSnapshot().context, { seekReason: 'it closed the stream; connection refused' });
    actor.stop();
  },
);

t.test('silence makes stale, then lost, and the search begins', async (t) => {
  const script = createScript();
  const { actor } = subscribe(script);
  actor.send({ type: 'opened' });
  await script.pass(100);
  actor.send({ type: 'silent', ms: 3_000 });
  actor.send({ type: 'heard' });
  actor.send({ type: 'silent', ms: 3_000 });
  actor.send({ type: 'silent', ms: 10_000 });
  await script.pass(20_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('the limits of silence are three and ten of the hive’s own intervals', async (t) => {
  const script = createScript();
  const { actor, shown } = subscribe(script);
  actor.send({ type: 'opened' });
  actor.send({ type: 'interval', ms: 5_000 });
  actor.send({ type: 'silent', ms: 14_999 });
  t.same(shown, ['show streaming']);
  actor.send({ type: 'silent', ms: 15_000 });
  t.same(shown.at(-1), 'show streaming, stale');
  actor.send({ type: 'silent', ms: 49_999 });
  t.same(shown.at(-1), 'show streaming, stale');
  actor.send({ type: 'silent', ms: 50_000 });
  t.match(shown.at(-1), /^show lost/);
  actor.stop();
});

t.test('a hive of a short interval is not stale before 1 s, nor lost before 3 s', async (t) => {
  const script = createScript();
  const { actor, shown } = subscribe(script);
  actor.send({ type: 'opened' });
  actor.send({ type: 'interval', ms: 100 });
  actor.send({ type: 'silent', ms: 999 });
  t.same(shown, ['show streaming']);
  actor.send({ type: 'silent', ms: 1_000 });
  actor.send({ type: 'silent', ms: 2_999 });
  t.same(shown.at(-1), 'show streaming, stale');
  actor.send({ type: 'silent', ms: 3_000 });
  t.match(shown.at(-1), /^show lost/);
  actor.stop();
});

t.test('a new callback replaces the stream: the old one is closed first, what is shown stays', async (t) => {
  const script = createScript();
  const { actor, ready, live } = subscribe(script);
  actor.send({ type: 'opened' });
  t.equal(ready(), 'subscribed');
  t.equal(live(), 1);
  await script.pass(1_000);
  actor.send({ type: 'opened' });
  t.equal(live(), 1);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a replacement that does not open within 5 s is a loss', async (t) => {
  const script = createScript();
  const { actor, ready, shown } = subscribe(script);
  actor.send({ type: 'opened' });
  ready();
  await script.pass(4_900);
  t.same(shown.at(-1), 'show streaming');
  await script.pass(100);
  t.match(shown.at(-1), /^show lost .*did not open its stream within 5 s/);
  actor.stop();
});

t.test('a hive whose streams close at once is not asked in a loop', async (t) => {
  const script = createScript();
  const { actor, ready } = subscribe(script);
  for (let i = 0; i < 4; i += 1) {
    actor.send({ type: 'opened' });
    actor.send({ type: 'closed', reason: 'it closed the stream' });
    await script.pass(50);
    ready();
  }
  t.equal(script.lines.filter((line) => line.includes('ask ')).length, 1, 'asked at once after the first loss only');
  actor.stop();
});

t.test('the same instance from another URL has moved, at most three times in 10 s', async (t) => {
  const script = createScript();
  const { actor, ready } = subscribe(script);
  actor.send({ type: 'opened' });
  t.equal(ready({ hiveUrl: 'http://b:7835' }), 'subscribed');
  t.equal(ready({ hiveUrl: 'http://a:7835' }), 'subscribed');
  t.equal(ready({ hiveUrl: 'http://b:7835' }), 'subscribed');
  t.equal(ready({ hiveUrl: 'http://a:7835' }), 'moving');
  await script.pass(10_000);
  t.equal(ready({ hiveUrl: 'http://a:7835' }), 'subscribed');
  actor.stop();
});

for (const instance of ['two', null]) {
  t.test(
    `${instance ? 'another instance' : 'no instance'} from another URL is refused while the holder streams`,
    async (t) => {
      const script = createScript();
      const { actor, ready } = subscribe(script);
      actor.send({ type: 'opened' });
      t.equal(ready({ hiveUrl: 'http://b:7835', instance }), 'conflict');
      actor.send({ type: 'silent', ms: 3_000 });
      t.equal(ready({ hiveUrl: 'http://b:7835', instance }), 'conflict', 'a stale holder still streams');
      actor.send({ type: 'closed', reason: 'it closed the stream' });
      t.equal(ready({ hiveUrl: 'http://b:7835', instance }), 'subscribed');
      t.match(actor.getSnapshot().context, { hiveUrl: 'http://b:7835' });
      actor.stop();
    },
  );
}

t.test('a hive from before the restart is connecting, then lost, and is asked for every 60 s', async (t) => {
  const script = createScript();
  const { actor } = subscribe(script, { origin: 'known' });
  await script.pass(125_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a streaming hive cannot be forgotten, a lost one is, and is no longer asked', async (t) => {
  const script = createScript();
  const { actor, shown } = subscribe(script);
  const answers: string[] = [];
  const forget = () => actor.send({ type: 'hive.forget', respond: (answer) => answers.push(answer) });
  actor.send({ type: 'opened' });
  forget();
  actor.send({ type: 'closed', reason: 'it closed the stream' });
  forget();
  t.same(answers, ['streaming', 'forgotten']);
  t.equal(shown.at(-1), 'show forgotten');
  t.equal(actor.getSnapshot().status, 'done');
  actor.stop();
});

t.test(
  'a hive that was only found is read unless it is read already, and another of its name is refused',
  async (t) => {
    const script = createScript();
    const { actor, ready, live } = subscribe(script);
    const found = (event: Partial<ReadyEvent>) => ready({ type: 'hive.found', ...event });
    actor.send({ type: 'opened' });
    t.equal(found({}), 'unchanged');
    t.equal(found({ hiveUrl: 'http://b:7835' }), 'unchanged', 'a hive has several addresses');
    t.equal(found({ hiveUrl: 'http://b:7835', instance: null }), 'unchanged');
    t.equal(found({ hiveUrl: 'http://b:7835', instance: 'two' }), 'conflict');
    t.match(actor.getSnapshot().value, { streaming: 'fresh' });
    actor.send({ type: 'closed', reason: 'it closed the stream' });
    t.equal(found({ hiveUrl: 'http://b:7835', instance: 'two' }), 'subscribed');
    t.equal(live(), 1);
    t.match(actor.getSnapshot().context, { hiveUrl: 'http://b:7835', instance: 'two' });
    actor.stop();
  },
);
