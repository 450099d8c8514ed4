/** Two machines in one: network namespaces (ip-netns(8)) with a cable between them, a pair of veth interfaces. Wants root. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';

/** RFC 2544: addresses for tests between machines, in use nowhere. */
const LINK = '198.18.7';
const ELSEWHERE = '198.18.9';

export interface Machine {
  namespace: string;
  /** On the cable. */
  address: string;
  /** What makes a command run there. */
  by: string[];
  /** Where on our own loopback its port `port` is reached, whatever becomes of the cable. */
  reach: (port: number) => Promise<string>;
  /** Takes the cable out at this end, or puts it back. */
  link: (state: 'up' | 'down') => void;
}

function ip(...args: string[]): void {
  const { error, status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.trim()}`);
}

const nameOf = (role: string) => `rbee-${role}-${process.pid}`;
const remove = (namespace: string) => void spawnSync('ip', ['netns', 'delete', namespace]);

/** Why two machines cannot be had here, or false: what this tries is what `twoMachines` does. */
export function cannotPlug(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux';
  const namespaces = [nameOf('try-a'), nameOf('try-b')] as const;
  try {
    plug(...namespaces);
    return false;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'no ip command: apt-get install iproute2' : `no network namespaces here: ${message}`;
  } finally {
    namespaces.forEach(remove);
  }
}

/** The second has another interface beside the cable, with an address that the first one cannot reach. */
function plug(first: string, second: string): void {
  for (const namespace of [first, second]) {
    ip('netns', 'add', namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
  }
  ip('-n', second, 'link', 'add', 'aside', 'type', 'veth', 'peer', 'name', 'aside-peer');
  ip('-n', second, 'address', 'add', `${ELSEWHERE}.1/24`, 'dev', 'aside');
  for (const name of ['aside', 'aside-peer']) ip('-n', second, 'link', 'set', name, 'up');
  ip('-n', first, 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', second);
  for (const [n, namespace] of [first, second].entries()) {
    ip('-n', namespace, 'address', 'add', `${LINK}.${n + 1}/24`, 'dev', 'cable');
    ip('-n', namespace, 'link', 'set', 'cable', 'up');
  }
}

/** Two machines that can reach each other and nobody else; they go with the test. */
export function twoMachines(t: Pick<Test, 'teardown'>): [Machine, Machine] {
  const names = [nameOf('one'), nameOf('two')] as const;
  t.teardown(() => names.forEach(remove));
  plug(...names);
  return [machine(t, names[0], 1), machine(t, names[1], 2)];
}

function machine(t: Pick<Test, 'teardown'>, namespace: string, n: number): Machine {
  const by = ['ip', 'netns', 'exec', namespace];
  return {
    namespace,
    address: `${LINK}.${n}`,
    by,
    reach: (port) => reach(t, by, port),
    link: (state) => ip('-n', namespace, 'link', 'set', 'cable', state),
  };
}

/** Namespaces part the networks and share the files: a socket in the file system leads from one into the other. */
async function reach(t: Pick<Test, 'teardown'>, by: string[], port: number): Promise<string> {
  const dir = mkdtempSync(path.join(tmpdir(), 'rbee-netns-'));
  const file = path.join(dir, 'socket');
  const [command = '', ...line] = [...by, process.execPath, '-e', `(${relay.toString()})(require('net'))`];
  const inside = spawn(command, line, {
    env: { ...process.env, LISTEN: file, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(inside.stdout, 'data');
  const outside = net.createServer((socket) => join(socket, net.connect(file)));
  await new Promise<void>((resolve) => outside.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    outside.close();
    inside.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });
  return `http://127.0.0.1:${(outside.address() as net.AddressInfo).port}`;
}

function join(a: net.Socket, b: net.Socket): void {
  a.pipe(b).pipe(a);
  a.on('error', () => b.destroy()).on('close', () => b.destroy());
  b.on('error', () => a.destroy()).on('close', () => a.destroy());
}

/** Runs inside as source text, so it knows nothing of this module. */
function relay({ connect, createServer }: typeof net): void {
  const server = createServer((a) => {
    const b = connect(Number(process.env.PORT), '127.0.0.1');
    a.pipe(b).pipe(a);
    a.on('error', () => b.destroy()).on('close', () => b.destroy());
    b.on('error', () => a.destroy()).on('close', () => a.destroy());
  });
  server.listen(process.env.LISTEN, () => process.stdout.write('ready\n'));
}
