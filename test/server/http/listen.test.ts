/** The first port that is free. */
import net, { type AddressInfo } from 'node:net';
import t from 'tap';
import { listen } from '../../../server/http/listen.js';

t.test('a process that finds many ports taken leaves no listeners behind', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as AddressInfo;
  const warnings: string[] = [];
  const warned = ({ name }: Error) => void warnings.push(name);
  process.on('warning', warned);
  t.teardown(() => {
    process.off('warning', warned);
    taken.close();
  });
  const listener = await listen({ bind: '127.0.0.1', ports: [...Array(20).fill(port), 0], tls: null });
  t.not(listener.port, port);
  await listener.close(0);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(warnings, []);
});
