/** etcd from Debian's packages: a cluster of one member, its data in a temporary directory. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { waitFor } from '../../test/helpers/wait.js';
import type { Scope } from '../lib/scope.js';

const ETCD = ['/usr/bin/etcd', '/usr/local/bin/etcd'];

/** Resolves with a sentence when it is not installed. */
export async function startEtcd(scope: Scope): Promise<{ pid: number; url: string } | string> {
  const etcd = ETCD.find((file) => existsSync(file));
  if (!etcd) return 'not installed: apt-get install etcd-server';
  const [client, peer] = [await freeUrl(), await freeUrl()];
  const flags = {
    ...{ name: 'bench', 'data-dir': scope.directory('etcd'), logger: 'zap', 'log-level': 'error' },
    ...{ 'listen-client-urls': client, 'advertise-client-urls': client },
    ...{ 'listen-peer-urls': peer, 'initial-advertise-peer-urls': peer, 'initial-cluster': `bench=${peer}` },
  };
  const child = spawn(
    etcd,
    Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]),
    {
      stdio: 'ignore',
    },
  );
  const exited = once(child, 'exit');
  scope.onEnd(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  try {
    await waitFor('etcd', async () => (await fetch(`${client}/health`)).ok);
  } catch (error) {
    return `did not start: ${(error as Error).message}`;
  }
  return { pid: child.pid as number, url: client };
}

/** How many leases it holds. */
export async function leasesOf(url: string): Promise<number> {
  const response = await fetch(`${url}/v3/lease/leases`, { method: 'POST', body: '{}' });
  const { leases = [] } = (await response.json()) as { leases?: unknown[] };
  return leases.length;
}

async function freeUrl(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}
