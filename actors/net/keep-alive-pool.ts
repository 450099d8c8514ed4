/**
 * Keeps the connection of an answered request for the stream that is opened next. A queen that asks a thousand hives to
 * announce themselves opens a thousand streams right after that, and half of the cost of each is connecting.
 */
import type { Socket } from 'node:net';

/** Shorter than the keep-alive timeout of any server (Node's and ours: 5 s). */
const IDLE_MS_MAX = 2_000;
const KEPT_MAX = 1_024;

export interface KeepAlivePool {
  put: (origin: string, socket: Socket) => void;
  /** Removes and returns a connection that is still open. */
  take: (origin: string) => Socket | undefined;
}

export function createKeepAlivePool(): KeepAlivePool {
  const kept = new Map<string, { socket: Socket; timer: NodeJS.Timeout; drop: () => void }>();

  function take(origin: string): Socket | undefined {
    const found = kept.get(origin);
    if (!found) return undefined;
    kept.delete(origin);
    clearTimeout(found.timer);
    found.socket.off('close', found.drop);
    return found.socket.writable && !found.socket.destroyed ? found.socket : undefined;
  }

  return {
    take,
    put: (origin, socket) => {
      take(origin)?.destroy();
      if (kept.size >= KEPT_MAX || !socket.writable) return void socket.destroy();
      const drop = () => take(origin)?.destroy();
      const timer = setTimeout(drop, IDLE_MS_MAX);
      timer.unref();
      socket.once('close', drop);
      kept.set(origin, { socket, timer, drop });
    },
  };
}
