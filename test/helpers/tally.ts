/** Counts innermost `t.test`s, and assertions outside any test. */
import type { Parser } from 'tap-parser';

export interface Tally {
  passed: number;
  /** Names and reasons. */
  skipped: string[];
  /** Full names. */
  failed: string[];
}

/** The assertions of one test itself, without those of tests inside it. */
interface Level {
  tests: number;
  asserted: number;
  skipped: number;
  failed: string[];
}

/** Counts the innermost tests below `parser` into `tally`. Returns the counts of this level, which change as it runs. */
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
      // A test that skips all of its assertions does not count as passed.
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
