/** Who belongs to a swarm. */
import type { RbeeProcess } from '../process.js';
import type { TcpProxy } from '../proxy.js';

/** A process of the swarm through all of its lives. */
export interface Member {
  name: string;
  kind: 'queen' | 'hive';
  stateDir: string;
  port: number;
  args: () => string[];
  now: RbeeProcess | null;
  /** When this life began, by the monotonic clock. */
  bornAt: number;
  /** The stderr of lives that ended since the last quiet period. */
  past: string[];
}

export interface Hive extends Member {
  /** The queen's way to it, and its way to the queen. */
  inbound: TcpProxy;
  uplink: TcpProxy;
}

/** Never through a proxy. */
export const direct = ({ port }: Pick<Member, 'port'>) => `http://127.0.0.1:${port}`;
