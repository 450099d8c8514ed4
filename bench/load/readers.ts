/** Many readers of one event stream: all count events, and some measure their latency. */
import net, { type Socket } from 'node:net';
import { offer } from '../lib/child.js';
import { MARKER } from '../lib/event.js';
import { percentile } from '../lib/stats.js';

const TIME = Buffer.from('"timestamp":"');
const TIME_CHARS = 24;
const marker = Buffer.from(MARKER);
/** Shared by all sockets: each read is processed before the next one begins. */
const buffer = Buffer.allocUnsafe(1024 * 1024);
const LATENCIES_MAX = 1_000_000;

let events = 0;
let bytes = 0;
let closed = 0;
let latencies: number[] = [];
let sockets: Socket[] = [];

interface Target {
  url: string;
  count: number;
}

function request(url: string): { port: number; host: string; text: string } {
  const { hostname, port, pathname, host } = new URL(url);
  return {
    port: Number(port),
    host: hostname,
    text: `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`,
  };
}

function open(url: string, timed: boolean): Promise<void> {
  const { port, host, text } = request(url);
  // A marker may be split between two reads.
  let seam = Buffer.alloc(0);
  const take = (chunk: Buffer) => {
    bytes += chunk.length;
    const joined = Buffer.concat([seam, chunk.subarray(0, marker.length - 1)]);
    if (seam.length > 0 && joined.includes(marker)) events += 1;
    const now = timed ? Date.now() : 0;
    for (let at = chunk.indexOf(marker); at >= 0; at = chunk.indexOf(marker, at + marker.length)) {
      events += 1;
      if (timed) time(chunk, at, now);
    }
    seam = Buffer.from(chunk.subarray(Math.max(0, chunk.length - marker.length + 1)));
  };
  return new Promise((resolve, reject) => {
    const socket = net.connect({
      port,
      host,
      onread: {
        buffer,
        callback: (size) => {
          take(buffer.subarray(0, size));
          resolve();
          return true;
        },
      },
    });
    socket.setNoDelay(true);
    socket.on('connect', () => socket.write(text));
    socket.on('error', reject);
    socket.on('close', () => {
      closed += 1;
    });
    sockets.push(socket);
  });
}

function time(chunk: Buffer, from: number, now: number): void {
  const at = chunk.indexOf(TIME, from);
  if (at < 0 || at - from > 200 || at + TIME.length + TIME_CHARS > chunk.length) return;
  const sentAt = Date.parse(chunk.toString('latin1', at + TIME.length, at + TIME.length + TIME_CHARS));
  if (latencies.length < LATENCIES_MAX) latencies.push(now - sentAt);
}

const offered = {
  /** Resolves when each has received data. The first `timed` of them measure latency. */
  open: async ({ url, count, timed }: Target & { timed: number }) => {
    for (let i = 0; i < count; i += 50) {
      await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, j) => open(url, i + j < timed)));
    }
  },
  /** Requests the stream and never reads a byte of it. */
  stall: async ({ url, count }: Target) => {
    const { port, host, text } = request(url);
    for (let i = 0; i < count; i += 1) {
      const socket = net.connect({ port, host, allowHalfOpen: true });
      socket.pause();
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('connect', resolve));
      socket.write(text);
      sockets.push(socket);
    }
  },
  /** Counts since the previous call. */
  count: () => {
    const counts = {
      events,
      bytes,
      closed,
      latency: { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) },
    };
    [events, bytes, closed, latencies] = [0, 0, 0, []];
    return counts;
  },
  close: () => {
    for (const socket of sockets) socket.destroy();
    sockets = [];
  },
};

export type Readers = typeof offered;
offer(offered);
