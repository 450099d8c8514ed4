/**
 * A minute of random faults, with the same seed each time: CHAOS_SEED and CHAOS_SECONDS choose others, and `make chaos`
 * runs for as long as wanted.
 */
import t from 'tap';
import { chaos } from '../helpers/chaos/run.js';

const seed = Number(process.env.CHAOS_SEED || 1);
const seconds = Number(process.env.CHAOS_SECONDS || 60);

t.test('a swarm recovers from a random sequence of faults, without duplicates or leftovers', async (t) => {
  const report = await chaos(t, { seed, seconds, log: (line) => t.comment(line) });
  t.ok(report.faults > 0, 'there were faults');
  t.ok(report.heartbeats > report.faults, 'and telemetry');
});
