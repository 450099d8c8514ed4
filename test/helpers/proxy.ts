/** A TCP proxy of the tests' own: a link between two real processes that can be cut, slowed, held still and refused. */
import net from 'node:net';
import type { Test } from 'tap';
import { waitFor } from './wait.js';

export interface Target {
  host?: string;
  port: number;
}

export interface ProxyOptions {
  target: Target;
  /** A free one by default. */
  listenPort?: number;
}

export interface TcpProxy {
  port: number;
  url: string;
  /** Connections that stand, on either side. */
  connections(): number;
  /** Ends all of them, with or without a reset, and goes on accepting. */
  cut(how?: 'end' | 'reset'): void;
  /** Nobody listens any more; what stands stays. `accept` listens again on the same port. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  /**
   * A cable pulled: nothing is forwarded either way, not even an end, and nothing is closed. New connections are
   * accepted and swallowed. `heal` forwards what was held; those swallowed are closed then.
   */
  halfOpen(): void;
  /** A router that lost its table: what stands is never forwarded again and never closed. New connections work. */
  forget(): void;
  /** TCP gives up on what was forgotten, as it does after a quarter of an hour: it is reset on both sides. */
  giveUp(): void;
  /** What arrives from now on leaves so much later, in order. */
  delay(ms: number): void;
  /** Each direction of each connection carries so much; null lifts it. */
  throttle(bytesPerS: number | null): void;
  /** Undoes all of the above but `cut` and `forget`. */
  heal(): Promise<void>;
  /** Of new connections. */
  setTarget(target: Target): void;
  /** Ends it for good, as the end of the test does. */
  close(): Promise<void>;
}

/** Per direction of a connection, so much is held here; the rest stays with the kernel and pushes back on the sender. */
const HELD_BYTES_MAX = 64 * 1024;
/** A throttled direction sends so often. */
const SLICES_PER_S = 20;

interface Law {
  held: boolean;
  delayMs: number;
  bytesPerS: number | null;
}

/** One direction of one connection. */
class Lane {
  private queue: { what: Buffer | 'end' | 'close'; dueAt: number }[] = [];
  private bytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private nextAt = 0;
  private forgotten = false;

  constructor(
    private readonly from: net.Socket,
    private readonly to: net.Socket,
    private readonly law: Law,
  ) {
    from.on('data', (chunk) => this.add(chunk));
    from.on('end', () => this.add('end'));
    from.on('close', () => this.add('close'));
    from.on('error', () => {}); // 'close' follows
    to.on('drain', () => this.pump());
  }

  private add(what: Buffer | 'end' | 'close'): void {
    if (this.forgotten) return;
    this.queue.push({ what, dueAt: performance.now() + this.law.delayMs });
    if (typeof what !== 'string') this.bytes += what.length;
    if (this.bytes > HELD_BYTES_MAX) this.from.pause();
    this.pump();
  }

  pump(): void {
    clearTimeout(this.timer);
    for (let head = this.queue[0]; head; head = this.queue[0]) {
      if (this.law.held || this.to.writableNeedDrain) return;
      const waitMs = Math.max(head.dueAt, this.law.bytesPerS === null ? 0 : this.nextAt) - performance.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.pump(), waitMs);
        return;
      }
      if (typeof head.what === 'string') {
        this.queue.shift();
        if (head.what === 'end') this.to.end();
        else this.to.destroySoon();
      } else this.send(head as { what: Buffer });
    }
    if (this.bytes <= HELD_BYTES_MAX && this.from.isPaused()) this.from.resume();
  }

  private send(head: { what: Buffer }): void {
    const { bytesPerS } = this.law;
    const sliceMax = bytesPerS === null ? Number.POSITIVE_INFINITY : Math.ceil(bytesPerS / SLICES_PER_S);
    const slice = head.what.subarray(0, sliceMax);
    if (slice.length === head.what.length) this.queue.shift();
    else head.what = head.what.subarray(slice.length);
    this.bytes -= slice.length;
    if (bytesPerS !== null) this.nextAt = performance.now() + (slice.length / bytesPerS) * 1000;
    if (!this.to.destroyed) this.to.write(slice);
  }

  /** What waits leaves at once. */
  hurry(): void {
    for (const item of this.queue) item.dueAt = 0;
    this.pump();
  }

  forget(): void {
    this.forgotten = true;
    this.queue = [];
    this.bytes = 0;
    clearTimeout(this.timer);
    this.from.resume();
  }
}

interface Pair {
  sockets: net.Socket[];
  lanes: Lane[];
  forgotten: boolean;
}

export async function tcpProxy(t: Pick<Test, 'teardown'>, options: ProxyOptions): Promise<TcpProxy> {
  const law: Law = { held: false, delayMs: 0, bytesPerS: null };
  let { target } = options;
  const pairs = new Set<Pair>();
  const swallowed = new Set<net.Socket>();
  let listening: Promise<void> | null = null;

  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (law.held) {
      swallowed.add(client);
      client.on('error', () => {});
      client.on('close', () => swallowed.delete(client));
      client.resume();
      return;
    }
    const upstream = net.connect({ host: '127.0.0.1', ...target, allowHalfOpen: true, noDelay: true });
    const sockets = [client, upstream];
    const lanes = [new Lane(client, upstream, law), new Lane(upstream, client, law)];
    const pair = { sockets, lanes, forgotten: false };
    pairs.add(pair);
    for (const socket of sockets) {
      socket.on('close', () => {
        if (sockets.every(({ destroyed }) => destroyed)) pairs.delete(pair);
      });
    }
  });

  const lanes = () => [...pairs].flatMap((pair) => pair.lanes);

  const proxy: TcpProxy = {
    port: options.listenPort ?? 0,
    url: '',
    connections: () => pairs.size + swallowed.size,
    cut: (how = 'end') => {
      for (const socket of [...[...pairs].flatMap(({ sockets }) => sockets), ...swallowed]) {
        if (how === 'reset') socket.resetAndDestroy();
        else socket.destroy();
      }
    },
    refuse: async () => {
      await listening;
      listening = null;
      // 'close' would wait for the last connection, but the port is free at once.
      if (server.listening) server.close();
    },
    accept: () => {
      listening ??= listen(server, proxy.port);
      return listening;
    },
    halfOpen: () => {
      law.held = true;
    },
    forget: () => {
      for (const lane of lanes()) lane.forget();
      for (const pair of pairs) pair.forgotten = true;
    },
    giveUp: () => {
      const dead = [...pairs].filter(({ forgotten }) => forgotten);
      for (const socket of dead.flatMap(({ sockets }) => sockets)) socket.resetAndDestroy();
    },
    delay: (ms) => {
      law.delayMs = ms;
    },
    throttle: (bytesPerS) => {
      law.bytesPerS = bytesPerS;
      for (const lane of lanes()) lane.pump();
    },
    heal: async () => {
      Object.assign(law, { held: false, delayMs: 0, bytesPerS: null } satisfies Law);
      for (const socket of swallowed) socket.destroy();
      for (const lane of lanes()) lane.hurry();
      await proxy.accept();
    },
    setTarget: (next) => {
      target = next;
    },
    close: async () => {
      await proxy.refuse();
      proxy.cut();
    },
  };
  t.teardown(() => proxy.close());
  await proxy.accept();
  proxy.port = (server.address() as net.AddressInfo).port;
  proxy.url = `http://127.0.0.1:${proxy.port}`;
  return proxy;
}

/** While we did not listen, somebody's outgoing connection may have been given our port: it goes away again. */
async function listen(server: net.Server, port: number): Promise<void> {
  const once = () =>
    new Promise<true>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve(true);
      });
    });
  await waitFor(`port ${port}`, once, { everyMs: 100 });
}
