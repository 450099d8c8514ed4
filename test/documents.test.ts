/** Whatever the documents name in the tree exists. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { documents, sources, stalePaths, staleSections, staleSymbols } from './helpers/documents.js';
import { ROOMS } from './helpers/house.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

t.test('every file and folder that a document names exists', async (t) => {
  t.strictSame(
    documents(root).flatMap((file) => stalePaths(root, file)),
    [],
  );
});

t.test('every section of the protocol that is cited exists', async (t) => {
  const files = [...documents(root), ...sources(root)].filter((file) => file !== 'test/documents.test.ts');
  t.strictSame(
    files.flatMap((file) => staleSections(root, file)),
    [],
  );
});

t.test('every symbol of the tour is in the file that is named for it', async (t) => {
  t.strictSame(staleSymbols(root, 'docs/tour.md'), []);
});

t.test('the table of README has a line for each room and each subject folder, and no others', async (t) => {
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  const listed = [...readme.matchAll(/^\| `([\w/]+)\/` \|/gm)].map(([, folder]) => folder);
  const subjects = ['actors', 'server'].flatMap((room) =>
    readdirSync(path.join(root, room), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${room}/${entry.name}`),
  );
  t.strictSame(listed.toSorted(), [...ROOMS, ...subjects, 'test', 'docs', 'examples'].toSorted());
});

t.test('a stale path, section or symbol is named with its line', async (t) => {
  const dir = t.testdir({
    docs: {
      'protocol.md': '## 1. One\n\n### 1.1 More\n',
      'a.md': 'See\n`machines/gone.ts`, [b](b.md), machines/here.ts and docs/protocol.md, section 2.\n',
      'tour.md': '`machines/here.ts`: `start`, then `stop`.\n\n`start` again.\n',
    },
    machines: { 'here.ts': 'export function start() {} // docs/protocol.md, section 1.1' },
  });
  t.strictSame(stalePaths(dir, 'docs/a.md'), [
    'docs/a.md:2 names machines/gone.ts, which does not exist',
    'docs/a.md:2 names b.md, which does not exist',
  ]);
  t.strictSame(staleSections(dir, 'docs/a.md'), ['docs/a.md:2 cites section 2 of the protocol, which does not exist']);
  t.strictSame(staleSections(dir, 'machines/here.ts'), []);
  t.strictSame(staleSymbols(dir, 'docs/tour.md'), [
    'docs/tour.md:1 names stop, which is not in machines/here.ts',
    'docs/tour.md:3 names start without a file',
  ]);
});
