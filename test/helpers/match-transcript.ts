/**
 * Transcripts are kept as text near their tests: `test/machines/lease.test.ts` is compared with
 * `test/machines/transcripts/lease.txt`, which has a section for each test, headed `# <name of the test>`.
 * `UPDATE=1` writes the file instead of comparing with it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import tap, { type Test } from 'tap';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const DIST = path.join(ROOT, 'dist');
// Also tap's own variable for its snapshots, for those who are used to it.
const update = Boolean(process.env.UPDATE || process.env.TAP_SNAPSHOT);

const file = transcriptFileOf(process.argv[1] ?? '');
const expected = read();
const actual = new Map<string, string>();

/** Compares `lines` with the section of the running test. A test has one transcript. */
export function matchTranscript(t: Test, lines: readonly string[]): void {
  if (actual.size === 0) tap.teardown(finish);
  if (actual.has(t.name)) throw new Error(`two transcripts of one test: ${t.name}`);
  const text = lines.join('\n');
  actual.set(t.name, text);
  if (update) t.pass('transcript written');
  else t.equal(text, expected.get(t.name) ?? '', `transcript in ${path.relative(ROOT, file)} (UPDATE=1 rewrites it)`);
}

/** Of `dist/test/machines/lease.test.js`: `test/machines/transcripts/lease.txt`. */
function transcriptFileOf(script: string): string {
  const { dir, base } = path.parse(path.relative(DIST, path.resolve(script)));
  return path.join(ROOT, dir, 'transcripts', base.replace(/\.test\.js$/, '.txt'));
}

function read(): Map<string, string> {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // No file yet: each comparison fails with a message on how to write it.
  }
  return parseTranscripts(text);
}

/** The sections of a file by their headings. */
function parseTranscripts(text: string): Map<string, string> {
  const sections = text.split(/^# /m).slice(1);
  return new Map(
    sections.map((section) => {
      const end = section.indexOf('\n');
      return [section.slice(0, end), section.slice(end).replace(/^\n+|\n+$/g, '')];
    }),
  );
}

/** Writes the file when asked to; otherwise fails on sections that no test compared with. */
function finish(): void {
  if (update) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, [...actual].map(([name, text]) => `# ${name}\n\n${text}\n`).join('\n'));
    return;
  }
  const stale = [...expected.keys()].filter((name) => !actual.has(name));
  if (stale.length > 0)
    throw new Error(`transcripts of tests that did not run in ${path.relative(ROOT, file)}: ${stale.join('; ')}`);
}
