/** What the runner counts: an innermost `t.test` is one, and so is an assertion outside any. */
import type { Parser } from 'tap-parser';

export interface Tally {
  passed: number;
  /** Names, and why. */
  skipped: string[];
  /** Full names. */
  failed: string[];
}

/** What one test says itself, besides the tests in it. */
interface Level {
  tests: number;
  asserted: number;
  skipped: number;
  failed: string[];
}

/** Adds up the innermost tests below `parser`. Returns what is known of this level as it goes on. */
export function count(parser: Parser, tally: Tally): Level {
  const level: Level = { tests: 0, asserted: 0, skipped: 0, failed: [] };
  let inner: { name: string; level: Level; failedBefore: number } | undefined;
  parser.on('child', (child: Parser) => {
    level.tests++;
    inner = { name: child.fullname, failedBefore: tally.failed.length, level: count(child, tally) };
  });
  parser.on('assert', (result: { ok: boolean; name: string; skip: unknown; todo: unknown }) => {
    const closed = inner;
    inner = undefined;
    if (result.skip || result.todo) {
      level.skipped++;
      const why = result.skip || result.todo;
      tally.skipped.push(typeof why === 'string' ? `${result.name}: ${why}` : result.name);
    } else if (closed === undefined) {
      level.asserted++;
      if (!result.ok) level.failed.push(result.name);
      if (parser.level > 0) return;
      if (result.ok) tally.passed++;
      else tally.failed.push(result.name);
    } else if (closed.level.tests === 0 && result.ok) {
      // One that skips all of its assertions has not shown anything.
      if (closed.level.asserted > 0 || closed.level.skipped === 0) tally.passed++;
    } else if (!result.ok && (closed.level.failed.length > 0 || tally.failed.length === closed.failedBefore)) {
      tally.failed.push([closed.name, ...closed.level.failed.slice(0, 3)].join(' > '));
    }
  });
  parser.on('bailout', (reason: string) => {
    if (parser.level === 0) tally.failed.push(`bailed out: ${reason}`);
  });
  return level;
}
