import t from 'tap';
import { SimulatedClock } from 'xstate';
import { type SilenceEvent, watchSilence } from '../../../actors/net/watch-silence.js';
import { silenceLimits } from '../../../machines/backoff.js';

function watch(intervalMs?: number) {
  const clock = new SimulatedClock();
  const told: SilenceEvent[] = [];
  const awake = {
    now: () => clock.now(),
    setTimeout: (fn: () => void, ms: number) => clock.setTimeout(fn, ms),
    clearTimeout: (id: unknown) => clock.clearTimeout(id as number),
    stop: () => {},
  };
  const silence = watchSilence({ clock: awake, silenceLimits }, (event) => told.push(event), intervalMs);
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= 100) clock.increment(Math.min(100, left));
  };
  return { silence, told, pass };
}

t.test('silence is told at three and ten intervals, and goes on being told', async (t) => {
  const { told, pass } = watch();
  pass(2_900);
  t.same(told, []);
  pass(7_200);
  t.same(told, [
    { type: 'silent', ms: 3_000 },
    { type: 'silent', ms: 10_000 },
  ]);
  pass(10_000);
  t.same(told.at(-1), { type: 'silent', ms: 20_000 });
});

t.test('silence is counted by the interval that the hive said before', async (t) => {
  const { told, pass } = watch(5_000);
  pass(14_900);
  t.same(told, []);
  pass(35_200);
  t.same(
    told.map((event) => 'ms' in event && event.ms),
    [15_000, 50_000],
  );
});

t.test('a hive whose interval grows while it is silent is lost all the same', async (t) => {
  const { silence, told, pass } = watch();
  pass(11_000);
  silence.setInterval(5_000);
  pass(40_000);
  t.ok(told.some((event) => event.type === 'silent' && event.ms >= 50_000));
});

t.test('the end of silence is told once, and nothing after the end', async (t) => {
  const { silence, told, pass } = watch();
  pass(3_000);
  silence.heard();
  silence.heard();
  t.same(told.slice(1), [{ type: 'heard' }]);
  silence.stop();
  silence.setInterval(1_000);
  silence.release();
  pass(60_000);
  t.equal(told.length, 2);
});

t.test('time in which nobody listens is no silence', async (t) => {
  const { silence, told, pass } = watch();
  pass(2_000);
  silence.hold();
  pass(60_000);
  t.same(told, [], 'while it is held');
  silence.release();
  pass(2_900);
  t.same(told, [], 'and counted from its release');
  pass(200);
  t.same(told, [{ type: 'silent', ms: 3_000 }]);
  silence.stop();
});
