/** One telemetry stream between a simulated hive and a simulated queen: a connection with two ends that may disagree. */
import type { Host, Network } from './network.js';
import type { Sim } from './sim.js';

/** The callbacks of both ends. */
interface StreamEnds {
  /** At the hive, when the request arrives. Throws a `Failure` when it refuses. */
  accept: (stream: Stream) => void;
  closedAtHive: (stream: Stream, reason: string) => void;
  opened: () => void;
  failed: (failure: { kind: 'refused' | 'timeout' | 'closed'; message: string }) => void;
  heard: () => void;
  closedAtQueen: (reason: string) => void;
}

export interface StreamInput extends StreamEnds {
  sim: Sim;
  network: Network;
  hive: Host;
  queen: Host;
  queenId: string | null;
  instance: string | null;
  /** The hive closes a stream whose reader took nothing for so long. */
  stallMs: number;
}

export class Stream {
  atHive = false;
  atQueen = true;
  vanished = false;
  readonly queenProcess: object | null;
  private takenAt = 0;

  constructor(private readonly input: StreamInput) {
    const { sim, network, hive, queen } = input;
    this.queenProcess = queen.process;
    const refused = () => this.endAtQueen(() => input.failed({ kind: 'refused', message: 'connection refused' }));
    if (network.link(queen, hive) === 'refuse') sim.after(1, refused);
    else sim.after(network.delay(), () => this.arrive(refused));
  }

  private arrive(refused: () => void): void {
    const { sim, network, hive, queen } = this.input;
    if (network.link(queen, hive) !== 'good' || !hive.powered) return;
    if (hive.process === null) {
      sim.after(network.delay(), refused);
      return;
    }
    this.atHive = true;
    this.takenAt = sim.now;
    this.input.accept(this);
    // Some connections break right after the request.
    if (network.rough && sim.chance() < 0.03) {
      this.forgetAtHive();
      this.forgetAtQueen();
      return;
    }
    sim.after(network.delay(), () => {
      if (!this.atQueen || network.link(hive, queen) !== 'good') return;
      this.input.opened();
      // Headers pass where large packets do not.
      if (network.rough && sim.chance() < 0.03) this.vanished = true;
      else if (this.atQueen) this.input.heard();
    });
  }

  get hive(): Host {
    return this.input.hive;
  }
  get queen(): Host {
    return this.input.queen;
  }
  get queenId(): string | null {
    return this.input.queenId;
  }
  get instance(): string | null {
    return this.input.instance;
  }

  /** The hive sends an event. */
  event(): void {
    const { sim, network, hive, queen, stallMs } = this.input;
    const isDead = network.link(hive, queen) !== 'good' || network.link(queen, hive) !== 'good' || !queen.powered;
    if (isDead || this.vanished) {
      if (sim.now - this.takenAt >= stallMs) this.closeAtHive('it took nothing for too long');
      return;
    }
    this.takenAt = sim.now;
    if (!this.atQueen || queen.process !== this.queenProcess) {
      // The queen's kernel has no such connection.
      sim.after(network.delay(), () => this.closeAtHive('reset'));
      return;
    }
    sim.after(network.delay(), () => {
      if (this.atQueen) this.input.heard();
    });
  }

  /** The hive closes it; the queen is notified if it can be reached. */
  closeAtHive(reason: string): void {
    if (!this.atHive) return;
    this.atHive = false;
    const { network, hive, queen } = this.input;
    if (!this.vanished)
      network.end(hive, queen, () => this.endAtQueen(() => this.input.closedAtQueen('it closed the stream')));
    this.input.closedAtHive(this, reason);
  }

  /** The queen closes it; the hive is notified if it can be reached. */
  closeAtQueen(): void {
    if (!this.atQueen) return;
    this.atQueen = false;
    const { network, hive, queen } = this.input;
    if (!this.vanished) network.end(queen, hive, () => this.loseAtHive('it closed the connection'));
  }

  /** One end drops it without a notification of the other: a firewall, a host without power. */
  forgetAtHive(): void {
    if (!this.atHive) return;
    this.atHive = false;
    this.input.closedAtHive(this, 'reset');
  }

  forgetAtQueen(): void {
    this.endAtQueen(() => this.input.closedAtQueen('its connection broke off'));
  }

  private loseAtHive(reason: string): void {
    if (!this.atHive) return;
    this.atHive = false;
    this.input.closedAtHive(this, reason);
  }

  private endAtQueen(notify: () => void): void {
    if (!this.atQueen) return;
    this.atQueen = false;
    notify();
  }
}
