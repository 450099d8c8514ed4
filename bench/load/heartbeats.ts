/** Small JSON requests to any HTTP server, over bare sockets: as fast as it answers, or evenly spread. */
import net from 'node:net';
import { offer } from '../lib/child.js';
import { evenly } from '../lib/schedule.js';

interface Target {
  url: string;
  path: string;
  /** The body of a request; `{n}` in it is replaced by the number of the component. */
  body: string;
  /** n counts from 1 to this, repeatedly. */
  count: number;
}

const counts = { answers: 0, failed: 0 };
let late = () => 0;

function requestOf({ url, path, body }: Target, n: number, connection: 'keep-alive' | 'close'): string {
  const text = body.replaceAll('{n}', String(n));
  const head = `POST ${path} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nContent-Type: application/json\r\nConnection: ${connection}\r\n`;
  return `${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

function connect(url: string): net.Socket {
  const { hostname, port } = new URL(url);
  return net.connect({ host: hostname, port: Number(port), noDelay: true }).setEncoding('latin1');
}

function count(answer: string): void {
  if (answer.startsWith('HTTP/1.1 200 ')) counts.answers += 1;
  else counts.failed += 1;
}

/** Whether an answer is whole, by its length or its last chunk. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const [, length] = /content-length: (\d+)/i.exec(text.slice(0, end)) ?? [];
  return length === undefined ? text.endsWith('\r\n0\r\n\r\n') : text.length >= end + 4 + Number(length);
}

/** Requests one after the other over one kept connection, for as long as `next` gives any. */
function drive(url: string, next: () => string | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(url);
    let text = '';
    const send = () => {
      const request = next();
      if (request !== null) return void socket.write(request);
      socket.destroy();
      resolve();
    };
    socket.on('connect', send);
    socket.on('data', (chunk: unknown) => {
      text += chunk as string;
      if (!isWhole(text)) return;
      count(text);
      text = '';
      send();
    });
    socket.on('error', reject);
    socket.on('end', () => reject(new Error(`${url} closed a kept connection`)));
  });
}

/** Drives `connections` at once, each with one request in progress at any time. */
async function driveAll(target: Target, connections: number, hasMore: (done: number) => boolean): Promise<void> {
  let done = 0;
  const requests = new Map<number, string>();
  const next = () => {
    if (!hasMore(done)) return null;
    const n = (done % target.count) + 1;
    done += 1;
    const made = requests.get(n) ?? requestOf(target, n, 'keep-alive');
    requests.set(n, made);
    return made;
  };
  await Promise.all(Array.from({ length: connections }, () => drive(target.url, next)));
}

/** One heartbeat as rbee's components send it: over a new connection. */
function once(url: string, request: string): void {
  let text = '';
  const socket = connect(url);
  socket.on('connect', () => socket.write(request));
  socket.on('data', (chunk: unknown) => {
    text += chunk as string;
  });
  socket.on('error', () => {});
  socket.on('close', () => count(text));
}

const offered = {
  /** One request for each component. */
  each: async ({ connections, ...target }: Target & { connections: number }) => {
    await driveAll(target, connections, (done) => done < target.count);
    return taken();
  },
  /** As many as the server answers within `ms`. */
  saturate: async ({ connections, ms, ...target }: Target & { connections: number; ms: number }) => {
    const endsAt = performance.now() + ms;
    await driveAll(target, connections, () => performance.now() < endsAt);
    return taken();
  },
  /** `perSecond` of them, until this process ends. */
  steady: ({ perSecond, ...target }: Target & { perSecond: number }) => {
    late = evenly(perSecond, (done) => once(target.url, requestOf(target, (done % target.count) + 1, 'close')));
  },
  /** The answers since the previous call, and by how many ms the latest request left too late. */
  taken,
};

function taken(): { answers: number; failed: number; lateMs: number } {
  const { answers, failed } = counts;
  Object.assign(counts, { answers: 0, failed: 0 });
  return { answers, failed, lateMs: late() };
}

export type Heartbeats = typeof offered;
offer(offered);
