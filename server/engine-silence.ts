/** Warns of requests to which the engine has sent nothing for minutes, and ends them when that lasts. */
import { InferenceRefused } from '../wire/infer.js';
import type { ServedRequest } from './served-request.js';

/** Counted in checks, so that time in which this process was suspended is excluded. */
export interface EngineSilenceLimits {
  checkMs: number;
  warnChecks: number;
  endChecks: number;
}

/** An engine sends nothing while it reads a long prompt or loads a model: warn after 2 min, end the request after 10 min. */
const LIMITS: EngineSilenceLimits = { checkMs: 5_000, warnChecks: 24, endChecks: 120 };

export interface EngineSilenceInput {
  requests: ReadonlySet<ServedRequest>;
  warn: (message: string) => void;
  limits?: EngineSilenceLimits | undefined;
}

export class EngineSilence {
  private readonly requests: ReadonlySet<ServedRequest>;
  private readonly limits: EngineSilenceLimits;
  private readonly timer: NodeJS.Timeout;

  constructor({ requests, warn, limits = LIMITS }: EngineSilenceInput) {
    this.requests = requests;
    this.limits = limits;
    this.timer = setInterval(() => this.check(warn), limits.checkMs).unref();
  }

  /** Which requests wait for a silent engine, in a sentence; null for none. */
  reason(): string | null {
    const { warnChecks, endChecks } = this.limits;
    const silent = this.atEngine().filter(({ silentChecks }) => silentChecks >= warnChecks);
    if (silent.length === 0) return null;
    const longest = Math.max(...silent.map(({ silentChecks }) => silentChecks));
    const running = [...this.requests].filter(({ waitsFor }) => waitsFor !== 'slot').length;
    return `the engine has sent nothing for ${this.seconds(longest)} s to ${silent.length} of ${running} requests; each is ended after ${this.seconds(endChecks)} s`;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private check(warn: (message: string) => void): void {
    const { warnChecks, endChecks } = this.limits;
    for (const request of this.atEngine()) {
      request.silentChecks += 1;
      if (request.silentChecks === warnChecks) warn(this.reason() ?? '');
      if (request.silentChecks === endChecks) request.abort(engineSilent(this.seconds(endChecks)));
    }
  }

  private atEngine(): ServedRequest[] {
    return [...this.requests].filter(({ waitsFor }) => waitsFor === 'engine');
  }

  private seconds(checks: number): number {
    return Math.round((checks * this.limits.checkMs) / 1000);
  }
}

const engineSilent = (seconds: number) =>
  new InferenceRefused(504, `the engine sent nothing for ${seconds} s: the request was ended`, {
    code: 'engine_silent',
  });
