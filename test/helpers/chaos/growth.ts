/** Memory and descriptors of the running processes, compared with those after their warm-up. */
import { getJson } from '../http.js';
import type { RbeeProcess } from '../process.js';
import { metric } from './invariants.js';
import { direct, type Member } from './member.js';
import type { Swarm } from './swarm.js';

const WARM_UP_MS = 60_000;
const GROWTH_MB_MAX = 60;
const DESCRIPTORS_GROWTH_MAX = 20;

interface Size {
  rssMb: number;
  fds: number;
}

export class Growth {
  /** Of the process that grew most. */
  mbMax = 0;
  private readonly warm = new WeakMap<RbeeProcess, Size>();

  constructor(private readonly swarm: Swarm) {}

  /** All sizes, as one line. */
  async measure(): Promise<string> {
    const sizes = await Promise.all(this.swarm.members().map((member) => this.measureOne(member)));
    return sizes.filter((size) => size !== null).join(', ');
  }

  private async measureOne({ name, now, port, startedAtMs }: Member): Promise<string | null> {
    if (!now) return null;
    const { body } = await getJson(`${direct({ port })}/metrics`);
    const rssMb = (metric(body, 'process_resident_memory_bytes') ?? 0) / 2 ** 20;
    const fds = metric(body, 'process_open_fds') ?? 0;
    if (performance.now() - startedAtMs > WARM_UP_MS && !this.warm.has(now)) this.warm.set(now, { rssMb, fds });
    const warm = this.warm.get(now);
    if (!warm) return `${name} ${Math.round(rssMb)} MiB ${fds} fds`;
    const grownMb = rssMb - warm.rssMb;
    this.mbMax = Math.max(this.mbMax, grownMb);
    if (grownMb > GROWTH_MB_MAX) {
      this.swarm.violate(`${name} grew from ${Math.round(warm.rssMb)} to ${Math.round(rssMb)} MiB`);
    }
    if (fds - warm.fds > DESCRIPTORS_GROWTH_MAX) {
      this.swarm.violate(`${name} went from ${warm.fds} to ${fds} descriptors`);
    }
    return `${name} ${Math.round(rssMb)} (+${Math.round(grownMb)}) MiB ${fds} fds`;
  }
}
