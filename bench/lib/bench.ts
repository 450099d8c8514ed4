/** What a bench is: one question, answered by tables and by goals that were met or not. */
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
  seen: string;
  met: boolean;
}

export interface Answer {
  tables: Table[];
  goals: Goal[];
  /** What a reader of the figures must know. */
  notes: string[];
}

export interface BenchInput {
  /** Short runs: the figures show that the bench works, and little more. */
  quick: boolean;
  /** Run the measured rbee process under `node --cpu-prof` and say where its time went. */
  profile: boolean;
  scope: Scope;
  /** A line of progress on stderr. */
  say: (line: string) => void;
}

export interface Bench {
  question: string;
  /** How long it may take at most; 45 min when it does not say. */
  minutesMax?: number;
  run: (input: BenchInput) => Promise<Answer>;
}

/** A goal of the form "no more than". */
export function atMost(what: string, seen: number, limit: number, unit: string): Goal {
  return { what, goal: `≤ ${limit} ${unit}`, seen: `${short(seen)} ${unit}`, met: seen <= limit };
}

export function atLeast(what: string, seen: number, limit: number, unit: string): Goal {
  return { what, goal: `≥ ${limit} ${unit}`, seen: `${short(seen)} ${unit}`, met: seen >= limit };
}

/** Three significant digits, no more: nothing here is measured better than that. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}
