/** Sends a comment on streams that are idle, so that proxies keep their connections open (docs/protocol.md, section 5.3: every 15 s). */

const IDLE_MS = 15_000;

export class IdleComments {
  private quietSince = performance.now();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly comment: () => void) {
    this.timer = setInterval(() => this.check(), IDLE_MS / 3).unref();
  }

  /** Call when an event is sent. */
  sent(): void {
    this.quietSince = performance.now();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private check(): void {
    const now = performance.now();
    // Checked every 5 s: waiting for the full time could exceed it by another 5 s.
    if (now - this.quietSince < IDLE_MS * 0.6) return;
    this.quietSince = now;
    this.comment();
  }
}
