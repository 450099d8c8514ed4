import t from 'tap';
import { Inviter } from '../../../actors/queen/invite-hives.js';

const invitation = { hiveUrl: 'http://a:7835', hiveId: null, trusted: false, label: 'SSH host a' };

/** A queen that asks one host. `name`: the id of its hive; `asked`: whether each request was an invitation. */
function create(name: string | null) {
  const host = { name, asked: [] as boolean[], streaming: new Set<string>() };
  const inviter = new Inviter({
    asker: {
      capabilities: async (_, { invite }) => {
        host.asked.push(invite);
        return { hive_id: host.name, devices: [], instance: null, address: '10.0.0.1' };
      },
    },
    whyNotAsk: (_, hiveId) => (hiveId !== null && host.streaming.has(hiveId) ? `hive ${hiveId} streams already` : null),
    namesFirst: () => false,
    log: { debug: () => {}, info: () => {} },
  });
  return { host, invite: () => inviter.invite(invitation) };
}

t.test(
  'a host is not asked while the hive that answered there streams, and later asked whether it is still the same hive',
  async (t) => {
    const { host, invite } = create('gpu-b');
    t.equal(await invite(), 'answered');
    // A hive of that name streams from another machine; the one here had it by mistake and has been renamed.
    host.streaming.add('gpu-b');
    host.name = 'gpu-a';
    const outcomes = [];
    for (let round = 1; round <= 11; round += 1) outcomes.push(await invite());
    t.same(outcomes, [...Array(10).fill(null), 'answered']);
    t.same(host.asked, [true, false, true], 'first for its name, then to announce itself');
  },
);

t.test('a hive that streams all the time is asked for its name, and not invited', async (t) => {
  const { host, invite } = create('gpu-a');
  await invite();
  host.streaming.add('gpu-a');
  for (let round = 1; round <= 22; round += 1) await invite();
  t.same(host.asked, [true, false, false]);
});

t.test('a hive that does not state its name is asked to announce itself in every eleventh round', async (t) => {
  const { host, invite } = create(null);
  const outcomes = [];
  for (let round = 1; round <= 23; round += 1) outcomes.push(await invite());
  t.same(outcomes, ['answered', ...Array(10).fill(null), 'answered', ...Array(10).fill(null), 'answered']);
  t.same(host.asked, [true, false, true, false, true]);
});
