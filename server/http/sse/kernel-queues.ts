/**
 * How much of what was written to a socket the kernel still holds, on Linux (proc_pid_net(5)): bytes that the peer's
 * machine has not acknowledged and, where the peer is a process of this machine, bytes that it has not read. Node shows
 * neither, and small events fit into the kernel's buffers for minutes. Unread bytes on another machine are not visible.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';

/** `sl local remote state tx:rx`, of connections (a listener's queue counts connections) with anything in a queue. */
const ROW = /^ *\d+: ([0-9A-F:]+) ([0-9A-F:]+) 0[1-9B] (?!0{8}:0{8})([0-9A-F]{8}):([0-9A-F]{8})/gm;
const MAPPED = '00000000000000000000FFFF';

export type KernelQueues = (socket: Socket) => number;

const readings = new Map<string, Promise<KernelQueues | null>>();

/**
 * Null where the kernel does not provide it. Takes 10 to 20 ms even with few connections, since the kernel walks its whole
 * table, so all streams of a process share a reading, and IPv6 is left out where no connection uses it.
 */
export function readKernelQueues(sockets: Iterable<Socket>): Promise<KernelQueues | null> {
  const files = ['/proc/net/tcp'];
  for (const { localAddress } of sockets) {
    if (!localAddress?.includes(':')) continue;
    files.push('/proc/net/tcp6');
    break;
  }
  const key = files.join();
  const reading = readings.get(key) ?? read(files).finally(() => readings.delete(key));
  readings.set(key, reading);
  return reading;
}

async function read(files: string[]): Promise<KernelQueues | null> {
  const tables = await Promise.all(files.map((file) => readFile(file, 'latin1').catch(() => '')));
  if (tables.every((table) => table === '')) return null;
  const queues = new Map<string, { unacknowledged: number; unread: number }>();
  for (const table of tables) {
    for (const [, local = '', remote = '', tx = '', rx = ''] of table.matchAll(ROW)) {
      queues.set(`${endOf(local)} ${endOf(remote)}`, {
        unacknowledged: Number.parseInt(tx, 16),
        unread: Number.parseInt(rx, 16),
      });
    }
  }
  return ({ localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 }) => {
    if (queues.size === 0) return 0;
    const here = `${hexOf(localAddress)}:${localPort}`;
    const there = `${hexOf(remoteAddress)}:${remotePort}`;
    const { unacknowledged = 0 } = queues.get(`${here} ${there}`) ?? {};
    return unacknowledged + (queues.get(`${there} ${here}`)?.unread ?? 0);
  };
}

/** An address and port as the kernel prints them, in words of four bytes with the lowest first. */
function endOf(text: string): string {
  const [address = '', port = ''] = text.split(':');
  const words = address.match(/.{8}/g) ?? [];
  const hex = words.map((word) => (word.match(/../g) ?? []).reverse().join('')).join('');
  return `${hex.startsWith(MAPPED) ? hex.slice(MAPPED.length) : hex}:${Number.parseInt(port, 16)}`;
}

/** An address as Node prints it, in hexadecimal: 8 digits for IPv4, mapped or not, 32 for IPv6. */
function hexOf(address: string): string {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (dotted)
    return dotted
      .slice(1)
      .map((byte) => hex(Number(byte), 2))
      .join('');
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => hex(Number.parseInt(group, 16), 4));
  const [front, back] = [groups(head), groups(tail ?? '')];
  return [...front, ...Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0000'), ...back].join('');
}

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
