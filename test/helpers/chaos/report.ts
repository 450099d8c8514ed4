/** The options of a run, its result, and the message when an invariant did not hold. */
import { getJson } from '../http.js';
import { direct, type Member } from './member.js';

export interface ChaosOptions {
  seed: number;
  /** 3. */
  hives?: number;
  /** No quiet period is begun after so many faults, or so many seconds; without either, 60 s. */
  faults?: number;
  seconds?: number;
  /** At most so many faults between two quiet periods; 5. With 1 the healing of each kind stands alone. */
  together?: number;
  /** These kinds only. */
  only?: string[];
  /** Called with one line for each fault and each quiet period. */
  log?: (line: string) => void;
}

export interface KindReport {
  count: number;
  /** From the repair of all faults until the hives that it touched stream again. */
  slowestMs: number;
}

export interface ChaosReport {
  faults: number;
  quiets: number;
  kinds: Record<string, KindReport>;
  /** Of the process that grew most, in MiB after its warm-up. */
  growthMb: number;
  /** Telemetry events in the queen's stream. */
  heartbeats: number;
}

/** An invariant did not hold. The message contains the faults, stderr and machines of all processes. */
export class ChaosFailure extends Error {
  override name = 'ChaosFailure';
}

/** One of GET /v1/machines. */
export interface Machine {
  id: string;
  machine: string;
  state: string;
  value: unknown;
  context: Record<string, unknown>;
  transitions: { at: string; event: string; from: string | null; to: string; reason: string | null }[];
}

const VIOLATIONS_SHOWN = 30;
const STDERR_LINES = 60;
const TRANSITIONS_SHOWN = 15;

interface Findings {
  seed: number;
  made: number;
  violations: string[];
  faults: string[];
  members: Member[];
}

/** To be called while the processes still run. */
export async function failure({ seed, made, violations, faults, members }: Findings): Promise<ChaosFailure> {
  const lines = [
    `seed ${seed}, after ${made} faults:`,
    ...indented(violations.slice(0, VIOLATIONS_SHOWN)),
    'The faults since the last quiet period:',
    ...indented(faults),
  ];
  for (const member of members) {
    const stderr = [...member.past, member.now?.stderr() ?? '(not running)'].join('--- next run:\n');
    lines.push(`The stderr of ${member.name}, at ${direct(member)}:`);
    lines.push(...indented(stderr.trimEnd().split('\n').slice(-STDERR_LINES)));
  }
  for (const member of members) {
    if (!member.now) continue;
    const answer = await getJson(`${direct(member)}/v1/machines`).catch((error: Error) => error);
    lines.push(`The machines of ${member.name}:`);
    if (answer instanceof Error) lines.push(`  ${answer.message}`);
    else for (const machine of answer.body.machines as Machine[]) lines.push(...describe(machine));
  }
  return new ChaosFailure(lines.join('\n'));
}

const indented = (lines: string[]) => lines.map((line) => `  ${line}`);

function describe({ id, machine, value, context, transitions }: Machine): string[] {
  return [
    `  ${machine} ${id}: ${JSON.stringify(value)} ${JSON.stringify(context)}`,
    ...transitions
      .slice(-TRANSITIONS_SHOWN)
      .map(({ at, event, from, to, reason }) => `    ${at} ${event}: ${from} → ${to} ${reason ?? ''}`),
  ];
}
