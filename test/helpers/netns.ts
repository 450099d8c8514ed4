/** Two machines in one: network namespaces (ip-netns(8)) with a cable between them, a pair of veth interfaces. Needs root. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import type { Test } from 'tap';
import { temporary } from './temporary.js';

/** RFC 2544: addresses reserved for tests. */
const LINK = '198.18.7';
const ELSEWHERE = '198.18.9';

export interface Machine {
  namespace: string;
  /** On the cable. */
  address: string;
  /** The command prefix that runs a command there. */
  by: string[];
  /** A URL on the loopback of the test that leads to its port `port`, not over the cable. */
  reach: (port: number) => Promise<string>;
  /** Unplugs the cable at this end, or plugs it in. */
  link: (state: 'up' | 'down') => void;
}

function ip(...args: string[]): void {
  const { error, status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.trim()}`);
}

const nameOf = (role: string) => `rbee-${role}-${process.pid}`;
const remove = (namespace: string) => void spawnSync('ip', ['netns', 'delete', namespace]);

/** Why `twoMachines` does not work here, or false; tries it. */
export function cannotPlug(): string | false {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only';
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

/** The second also has an interface with an address that the first one cannot reach. */
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

/** Two machines that can reach only each other; removed after the test. */
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

/** Namespaces separate the networks, not the files: a socket in the file system connects the two. */
async function reach(t: Pick<Test, 'teardown'>, by: string[], port: number): Promise<string> {
  const file = path.join(temporary(t), 'socket');
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
  });
  return `http://127.0.0.1:${(outside.address() as net.AddressInfo).port}`;
}

function join(a: net.Socket, b: net.Socket): void {
  a.pipe(b).pipe(a);
  a.on('error', () => b.destroy()).on('close', () => b.destroy());
  b.on('error', () => a.destroy()).on('close', () => a.destroy());
}

/** Runs in the namespace as source text, so it uses nothing of this module. */
function relay({ connect, createServer }: typeof net): void {
  const server = createServer((a) => {
    const b = connect(Number(process.env.PORT), '127.0.0.1');
    a.pipe(b).pipe(a);
    a.on('error', () => b.destroy()).on('close', () => b.destroy());
    b.on('error', () => a.destroy()).on('close', () => a.destroy());
  });
  server.listen(process.env.LISTEN, () => process.stdout.write('ready\n'));
}
