/** A TCP proxy between two real processes, whose connections can be cut, slowed, stopped and refused. */
import net from 'node:net';
import type { Test } from 'tap';
import { type Conditions, Direction } from './proxy-direction.js';
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

const NORMAL: Conditions = { held: false, delayMs: 0, bytesPerS: null };

/** A connection to the proxy, and its own connection to the target. */
class Pair {
  readonly sockets: readonly [net.Socket, net.Socket];
  readonly directions: readonly [Direction, Direction];
  forgotten = false;

  constructor(client: net.Socket, upstream: net.Socket, conditions: Conditions, onClose: (pair: Pair) => void) {
    this.sockets = [client, upstream];
    this.directions = [new Direction(client, upstream, conditions), new Direction(upstream, client, conditions)];
    for (const socket of this.sockets) {
      socket.on('close', () => {
        if (this.sockets.every(({ destroyed }) => destroyed)) onClose(this);
      });
    }
  }
}

export class TcpProxy {
  port: number;
  readonly #conditions: Conditions = { ...NORMAL };
  readonly #pairs = new Set<Pair>();
  /** Connections that were accepted while half-open. */
  readonly #swallowed = new Set<net.Socket>();
  readonly #server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#onClient(client));
  #target: Target;
  #listening: Promise<void> | null = null;

  constructor({ target, listenPort = 0 }: ProxyOptions) {
    this.#target = target;
    this.port = listenPort;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Open connections, on either side. */
  connections(): number {
    return this.#pairs.size + this.#swallowed.size;
  }

  /** Ends all of them, with or without a reset, and goes on accepting. */
  cut(how: 'end' | 'reset' = 'end'): void {
    for (const socket of [...[...this.#pairs].flatMap(({ sockets }) => sockets), ...this.#swallowed]) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  /** Refuses new connections; open ones stay. `accept` listens again on the same port. */
  async refuse(): Promise<void> {
    await this.#listening;
    this.#listening = null;
    // Without waiting for 'close', which comes after the last connection: the port is free at once.
    if (this.#server.listening) this.#server.close();
  }

  async accept(): Promise<void> {
    this.#listening ??= listen(this.#server, this.port);
    await this.#listening;
    if (this.port === 0) this.port = (this.#server.address() as net.AddressInfo).port;
  }

  /**
   * As with a pulled cable: nothing is forwarded, not even an end, and nothing is closed. New connections are accepted
   * and get nothing. `heal` forwards what was held, and closes the new ones.
   */
  halfOpen(): void {
    this.#conditions.held = true;
  }

  /** As with a router that lost its table: open connections are neither forwarded nor closed. New connections work. */
  forget(): void {
    for (const direction of this.#directions()) direction.forget();
    for (const pair of this.#pairs) pair.forgotten = true;
  }

  /** Resets both sides of what was forgotten, as TCP does after a quarter of an hour. */
  giveUp(): void {
    const dead = [...this.#pairs].filter(({ forgotten }) => forgotten);
    for (const socket of dead.flatMap(({ sockets }) => sockets)) socket.resetAndDestroy();
  }

  /** Delays what arrives from now on; the order stays. */
  delay(ms: number): void {
    this.#conditions.delayMs = ms;
  }

  /** Limits each direction of each connection; null lifts the limit. */
  throttle(bytesPerS: number | null): void {
    this.#conditions.bytesPerS = bytesPerS;
    for (const direction of this.#directions()) direction.pump();
  }

  /** Undoes all of the above but `cut` and `forget`. */
  async heal(): Promise<void> {
    Object.assign(this.#conditions, NORMAL);
    for (const socket of this.#swallowed) socket.destroy();
    for (const direction of this.#directions()) direction.sendNow();
    await this.accept();
  }

  /** For new connections. */
  setTarget(target: Target): void {
    this.#target = target;
  }

  /** Ends it for good, as the end of the test does. */
  async close(): Promise<void> {
    await this.refuse();
    this.cut();
  }

  #onClient(client: net.Socket): void {
    if (this.#conditions.held) {
      this.#swallowed.add(client);
      client.on('error', () => {});
      client.on('close', () => this.#swallowed.delete(client));
      client.resume();
      return;
    }
    const upstream = net.connect({ host: '127.0.0.1', ...this.#target, allowHalfOpen: true, noDelay: true });
    this.#pairs.add(new Pair(client, upstream, this.#conditions, (pair) => this.#pairs.delete(pair)));
  }

  #directions(): Direction[] {
    return [...this.#pairs].flatMap(({ directions }) => directions);
  }
}

export async function tcpProxy(t: Pick<Test, 'teardown'>, options: ProxyOptions): Promise<TcpProxy> {
  const proxy = new TcpProxy(options);
  t.teardown(() => proxy.close());
  await proxy.accept();
  return proxy;
}

/** Waits for the port: while the proxy did not listen, the kernel may have used it for an outgoing connection. */
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
