/**
 * A minute of faults at random, always the same minute: CHAOS_SEED and CHAOS_SECONDS choose another, and `make chaos`
 * runs it for as long as one likes.
 */
import t from 'tap';
import { chaos } from '../helpers/chaos/run.js';

const seed = Number(process.env.CHAOS_SEED || 1);
const seconds = Number(process.env.CHAOS_SECONDS || 60);

t.test('a swarm heals from every fault of a random sequence, with no duplicate and nothing left over', async (t) => {
  const report = await chaos(t, { seed, seconds, say: (line) => t.comment(line) });
  t.ok(report.faults > 0, 'there were faults');
  t.ok(report.beats > report.faults, 'and telemetry all the while');
});
