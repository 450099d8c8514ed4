/** A bench: one question, answered by tables of figures, and by goals that are met or missed. */
import type { Scope } from './scope.js';

export type Cell = string | number | null;

export interface Table {
  title: string;
  columns: string[];
  rows: Cell[][];
}

export interface Goal {
  what: string;
  goal: string;
  measured: string;
  met: boolean;
}

export interface Answer {
  tables: Table[];
  goals: Goal[];
  /** What is needed to read the figures. */
  notes: string[];
}

export interface BenchInput {
  /** Short runs, which show that the bench works; their figures mean little. */
  quick: boolean;
  /** Profile the measured rbee process, and add tables of where its time went. */
  profile: boolean;
  scope: Scope;
  /** Prints a line on stderr. */
  progress: (line: string) => void;
}

export interface Bench {
  question: string;
  /** How long it may take; 45 min by default. */
  minutesMax?: number;
  run: (input: BenchInput) => Promise<Answer>;
}

/** A goal of the form "no more than". */
export function atMost(what: string, measured: number, limit: number, unit: string): Goal {
  return { what, goal: `≤ ${limit} ${unit}`, measured: `${short(measured)} ${unit}`, met: measured <= limit };
}

export function atLeast(what: string, measured: number, limit: number, unit: string): Goal {
  return { what, goal: `≥ ${limit} ${unit}`, measured: `${short(measured)} ${unit}`, met: measured >= limit };
}

/** Two or three significant digits: nothing here is measured more precisely. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}
