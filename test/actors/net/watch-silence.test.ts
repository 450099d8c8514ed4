import t from 'tap';
import { SimulatedClock } from 'xstate';
import { type SilenceEvent, watchSilence } from '../../../actors/net/watch-silence.js';
import { silenceLimits } from '../../../machines/backoff.js';

function watch(intervalMs?: number) {
  const clock = new SimulatedClock();
  const reported: SilenceEvent[] = [];
  const awake = {
    now: () => clock.now(),
    setTimeout: (fn: () => void, ms: number) => clock.setTimeout(fn, ms),
    clearTimeout: (id: unknown) => clock.clearTimeout(id as number),
    stop: () => {},
  };
  const silence = watchSilence({ clock: awake, silenceLimits }, (event) => reported.push(event), intervalMs);
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= 100) clock.increment(Math.min(100, left));
  };
  return { silence, reported, pass };
}

t.test('silence is reported at three and at ten intervals, and repeatedly after that', async (t) => {
  const { reported, pass } = watch();
  pass(2_900);
  t.same(reported, []);
  pass(7_200);
  t.same(reported, [
    { type: 'silent', ms: 3_000 },
    { type: 'silent', ms: 10_000 },
  ]);
  pass(10_000);
  t.same(reported.at(-1), { type: 'silent', ms: 20_000 });
});

t.test('silence is measured by the interval that the hive announced', async (t) => {
  const { reported, pass } = watch(5_000);
  pass(14_900);
  t.same(reported, []);
  pass(35_200);
  t.same(
    reported.map((event) => 'ms' in event && event.ms),
    [15_000, 50_000],
  );
});

t.test('a hive whose interval grows while it is silent is lost, too', async (t) => {
  const { silence, reported, pass } = watch();
  pass(11_000);
  silence.setInterval(5_000);
  pass(40_000);
  t.ok(reported.some((event) => event.type === 'silent' && event.ms >= 50_000));
});

t.test('the end of silence is reported once, and nothing after the watch is stopped', async (t) => {
  const { silence, reported, pass } = watch();
  pass(3_000);
  silence.heard();
  silence.heard();
  t.same(reported.slice(1), [{ type: 'heard' }]);
  silence.stop();
  silence.setInterval(1_000);
  silence.release();
  pass(60_000);
  t.equal(reported.length, 2);
});

t.test('time in which the stream is not read does not count', async (t) => {
  const { silence, reported, pass } = watch();
  pass(2_000);
  silence.hold();
  pass(60_000);
  t.same(reported, [], 'while it is held');
  silence.release();
  pass(2_900);
  t.same(reported, [], 'silence is measured from the release');
  pass(200);
  t.same(reported, [{ type: 'silent', ms: 3_000 }]);
  silence.stop();
});
