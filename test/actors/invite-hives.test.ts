import t from 'tap';
import { createInviter } from '../../actors/invite-hives.js';

const quiet = { debug: () => {}, info: () => {} };
const invitation = { hiveUrl: 'http://a:7835', hiveId: null, trusted: false, who: 'SSH host a' };

t.test(
  'a host is left in peace while who answered there streams, and asked again whether it still is that one',
  async (t) => {
    let name = 'gpu-b';
    const asked: boolean[] = [];
    const streaming = new Set<string>();
    const inviter = createInviter({
      asker: {
        capabilities: async (_, { invite }) => {
          asked.push(invite);
          return { hive_id: name, devices: [], instance: null, address: '10.0.0.1' };
        },
      },
      whyNot: (_, hiveId) => (hiveId !== null && streaming.has(hiveId) ? `hive ${hiveId} streams already` : null),
      namesFirst: () => false,
      log: quiet,
    });
    t.equal(await inviter.invite(invitation), 'answered');
    // It streams, from another machine: this one's got the name by mistake, and has another now.
    streaming.add('gpu-b');
    name = 'gpu-a';
    const outcomes = [];
    for (let round = 1; round <= 11; round += 1) outcomes.push(await inviter.invite(invitation));
    t.same(outcomes, [...Array(10).fill(null), 'answered']);
    t.same(asked, [true, false, true], 'first by name, then to announce itself');
  },
);

t.test('one that streams all the time is asked for its name, and not invited', async (t) => {
  const asked: boolean[] = [];
  const streaming = new Set<string>();
  const inviter = createInviter({
    asker: {
      capabilities: async (_, { invite }) => {
        asked.push(invite);
        return { hive_id: 'gpu-a', devices: [], instance: null, address: '10.0.0.1' };
      },
    },
    whyNot: (_, hiveId) => (hiveId !== null && streaming.has(hiveId) ? 'it streams already' : null),
    namesFirst: () => false,
    log: quiet,
  });
  await inviter.invite(invitation);
  streaming.add('gpu-a');
  for (let round = 1; round <= 22; round += 1) await inviter.invite(invitation);
  t.same(asked, [true, false, false]);
});
