/** Ports for one swarm only: a queen that looks for a hive where it was must not find one of another swarm. */
import net from 'node:net';
import type { Test } from 'tap';

/** Outside of the ports of outgoing connections, so that a port stays free while its process is down. */
const PORTS = { from: 15_000, to: 30_000, block: 500 } as const;

/** Returns a function that finds the next free port. The first port of the block stays open as a lock on the block. */
export async function portBlock(t: Pick<Test, 'teardown'>): Promise<() => Promise<number>> {
  const blocks = (PORTS.to - PORTS.from) / PORTS.block;
  for (;;) {
    const first = PORTS.from + Math.floor(Math.random() * blocks) * PORTS.block;
    const held = await listening(first);
    if (!held) continue;
    t.teardown(() => held.close());
    let next = 0;
    return async () => {
      for (;;) {
        next = (next % (PORTS.block - 1)) + 1;
        const server = await listening(first + next);
        if (!server) continue;
        await new Promise((resolve) => server.close(resolve));
        return first + next;
      }
    };
  }
}

function listening(port: number): Promise<net.Server | null> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
