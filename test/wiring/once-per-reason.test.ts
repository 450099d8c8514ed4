import t from 'tap';
import { OncePerReason } from '../../wiring/once-per-reason.js';

t.test('a reason is new until it repeats, for each subject, and again after a success', async (t) => {
  const reasons = new OncePerReason();
  t.equal(reasons.isNew('a', 'refused'), true);
  t.equal(reasons.isNew('a', 'refused'), false);
  t.equal(reasons.isNew('b', 'refused'), true);
  t.equal(reasons.isNew('a', 'timeout'), true);
  t.equal(reasons.isNew('a', 'refused'), true);
  reasons.clear('a');
  t.equal(reasons.isNew('a', 'refused'), true);
});
