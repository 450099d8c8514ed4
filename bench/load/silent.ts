/** A host that accepts connections and sends nothing, like a frozen machine. */
import net, { type AddressInfo } from 'node:net';
import { offer } from '../lib/child.js';

const offered = {
  start: async () => {
    const server = net.createServer((socket) => void socket.on('error', () => {}));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
    return { port: (server.address() as AddressInfo).port };
  },
};

export type Silent = typeof offered;
offer(offered);
