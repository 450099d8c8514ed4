/** The processes of a swarm. */
import type { RbeeProcess } from '../process.js';
import type { TcpProxy } from '../proxy.js';

/** A process of the swarm; it may be started many times. */
export interface Member {
  name: string;
  kind: 'queen' | 'hive';
  stateDir: string;
  port: number;
  args: () => string[];
  now: RbeeProcess | null;
  /** Monotonic. */
  startedAtMs: number;
  /** The stderr of runs that ended since the last quiet period. */
  past: string[];
}

export interface Hive extends Member {
  /** The proxies from the queen to it, and from it to the queen. */
  inbound: TcpProxy;
  uplink: TcpProxy;
}

/** Never through a proxy. */
export const direct = ({ port }: Pick<Member, 'port'>) => `http://127.0.0.1:${port}`;
