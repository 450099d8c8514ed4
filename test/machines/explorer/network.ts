/**
 * A network between simulated hosts: requests and streams that are delayed, lost, sent twice and out of order,
 * connections whose close does not reach the other end, hosts without power and processes that are down.
 */
import type { Failure } from '../../../machines/failure.js';
import type { Sim } from './sim.js';

/** `drop`: packets vanish. `refuse`: the sender gets an error at once. */
export type Link = 'good' | 'drop' | 'refuse';

const REQUEST_MS = 5_000;
/** A kernel repeats the close of a connection for so long, at this interval. */
const FIN = { forMs: 60_000, everyMs: 3_000 } as const;

export interface Host {
  name: string;
  powered: boolean;
  /** Identifies the run of its process; null while it is down. */
  process: object | null;
}

export class Network {
  private links = new Map<string, Link>();
  /** With long delays and duplicate deliveries. */
  rough = true;

  constructor(private readonly sim: Sim) {}

  link(from: Host, to: Host): Link {
    return this.links.get(`${from.name}>${to.name}`) ?? 'good';
  }

  set(from: Host, to: Host, link: Link): void {
    this.links.set(`${from.name}>${to.name}`, link);
  }

  mend(): void {
    this.links.clear();
  }

  delay(): number {
    const { sim, rough } = this;
    if (!rough) return sim.between(1, 50);
    return sim.chance() < 0.05 ? sim.between(200, 4_000) : sim.between(1, 80);
  }

  /** One request to the process that runs on `to` when it arrives. Rejects with a `Failure`. */
  request<T>(from: Host, to: Host, serve: () => T): Promise<T> {
    const { sim } = this;
    return new Promise<T>((resolve, reject) => {
      const timer = sim.after(REQUEST_MS, () => reject({ kind: 'timeout', message: 'no answer within 5 s' }));
      const fail = (failure: Failure) => {
        sim.cancel(timer);
        reject(failure);
      };
      if (this.link(from, to) === 'drop' || !to.powered) return;
      sim.after(this.delay(), () => {
        if (this.link(from, to) === 'drop' || !to.powered) return;
        if (this.link(from, to) === 'refuse' || to.process === null) {
          return fail({ kind: 'refused', message: 'connection refused' });
        }
        let answer: T;
        try {
          answer = serve();
        } catch (failure) {
          return fail(failure as Failure);
        }
        // A proxy between the two repeats a request without an answer.
        if (this.rough && sim.chance() < 0.01) {
          const { process } = to;
          sim.after(this.delay(), () => {
            if (to.process === process) serve();
          });
        }
        sim.after(this.delay(), () => {
          if (this.link(to, from) !== 'good' || !from.powered) return;
          sim.cancel(timer);
          resolve(answer);
        });
      });
    });
  }

  /** Notifies the other end that this one is closed, if it can be reached. */
  end(from: Host, to: Host, arrived: () => void): void {
    const { sim } = this;
    const until = sim.now + FIN.forMs;
    const send = () => {
      if (!from.powered || sim.now > until) return;
      if (this.link(from, to) === 'good' && to.powered) sim.after(this.delay(), arrived);
      else sim.after(FIN.everyMs, send);
    };
    send();
  }
}
