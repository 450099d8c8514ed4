import type { NetworkInterfaceInfo } from 'node:os';
import t from 'tap';
import { type AddressChange, watchAddresses } from '../../../actors/net/watch-addresses.js';
import { waitFor } from '../../helpers/wait.js';

t.test('a change of the addresses of this machine is reported, one of a link-local address is not', async (t) => {
  let looked = 0;
  let addresses = ['127.0.0.1', '10.0.0.1', 'fe80::1'];
  const changes: AddressChange[] = [];
  const stop = watchAddresses({
    everyMs: 1,
    interfaces: () => {
      looked += 1;
      return { all: addresses.map((address) => ({ address }) as NetworkInterfaceInfo) };
    },
    onChange: (change) => changes.push(change),
  });
  const lookAgain = async (next: string[]) => {
    addresses = next;
    const at = looked;
    await waitFor('two more looks', () => looked >= at + 2);
  };
  await lookAgain(addresses);
  await lookAgain(['127.0.0.1', '10.0.0.1', 'fe80::2']);
  t.same(changes, []);
  await lookAgain(['127.0.0.1', '10.0.0.2']);
  await lookAgain(['127.0.0.1']);
  stop();
  t.same(changes, [
    { present: ['127.0.0.1', '10.0.0.2'], added: ['10.0.0.2'] },
    { present: ['127.0.0.1'], added: [] },
  ]);
});
