/** The package as a user gets it: packed, installed into an empty prefix without a registry, and run from there. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { startProcess } from '../helpers/process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Everything else of dist/ is for development. */
const RUNTIME =
  /^(package\.json|README\.md|LICENSE|dist\/(bin\/[\w-]+\.js|web\/.+|client\.(js|d\.ts)|commit\.json|THIRD-PARTY-LICENSES\.txt))$/;

interface Packed {
  filename: string;
  files: { path: string }[];
}

/** The machine's npm belongs to the machine's Node, not to the one that make fetched into the checkout. */
function npm(...args: string[]): string {
  const directories = (process.env.PATH ?? '').split(path.delimiter);
  const PATH = directories.filter((directory) => !directory.includes('/.node/')).join(path.delimiter);
  return execFileSync('npm', [...args, '--loglevel=error'], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, PATH },
  });
}

function packed(t: Test): { tarball: string; files: string[] } {
  const directory = temporary(t);
  // `make` has built what prepack would build.
  const [answer] = JSON.parse(npm('pack', '--json', '--ignore-scripts', '--pack-destination', directory)) as Packed[];
  if (!answer) throw new Error('npm packed nothing');
  return { tarball: path.join(directory, answer.filename), files: answer.files.map((file) => file.path) };
}

t.test('the package holds what runs, installs offline, and runs', async (t) => {
  const { tarball, files } = packed(t);
  t.strictSame(
    files.filter((file) => !RUNTIME.test(file)),
    [],
    'nothing but runtime files',
  );
  for (const file of ['dist/bin/rbee.js', 'dist/web/index.html', 'dist/client.js', 'dist/THIRD-PARTY-LICENSES.txt']) {
    t.ok(files.includes(file), `${file} is in the package`);
  }

  const prefix = temporary(t);
  npm('install', '--global', '--offline', '--prefix', prefix, '--cache', temporary(t), tarball);
  const bin = (name: string) => path.join(prefix, 'bin', name);
  const installed = path.join(prefix, 'lib', 'node_modules', 'rbee');
  t.notOk(existsSync(path.join(installed, 'node_modules')), 'it has no dependencies');

  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const answer = execFileSync(process.execPath, [bin('rbee'), '--version'], { encoding: 'utf8' });
  t.ok(answer.startsWith(version), 'rbee --version');

  const queen = await startProcess(t, { name: 'queen', script: pathToFileURL(bin('queen-rbee')) });
  const args = ['--hive-id', 'gpu-0', '--queen-url', queen.url];
  await startProcess(t, { name: 'hive', script: pathToFileURL(bin('rbee-hive')), args });
  await waitFor('the hive to stream', async () => {
    const hive = (await (await fetch(`${queen.url}/v1/hives/gpu-0`)).json()) as { state?: string };
    return hive.state === 'streaming';
  });
  t.match(await (await fetch(queen.url)).text(), /<script type="module"/, 'the dashboard is found');

  const client = (await import(
    pathToFileURL(path.join(installed, 'dist/client.js')).href
  )) as typeof import('../../client/index.js');
  const { hives } = await client.createClient({ url: queen.url }).hives();
  t.strictSame(
    hives.map((hive) => hive.hive_id),
    ['gpu-0'],
    'the client reads the queen',
  );
});

t.test('./rbee of a checkout runs from any directory, also by a link', async (t) => {
  const link = path.join(temporary(t), 'rbee');
  symlinkSync(path.join(ROOT, 'rbee'), link);
  for (const command of [path.join(ROOT, 'rbee'), link]) {
    t.match(execFileSync(command, ['--version'], { cwd: temporary(t), encoding: 'utf8' }), /^\d+\.\d+\.\d+/);
  }
});

t.test('the licences name each package that is bundled', async (t) => {
  const programs = readFileSync(path.join(ROOT, 'dist/THIRD-PARTY-LICENSES.txt'), 'utf8');
  for (const name of ['koa', 'xstate', '@sinclair/typebox', 'pino']) t.match(programs, `\n${name} `, name);
  t.notMatch(programs, 'undefined');
  const page = readFileSync(path.join(ROOT, 'dist/web/THIRD-PARTY-LICENSES.md'), 'utf8');
  for (const name of ['preact', 'uplot', 'marked']) t.match(page, `## ${name} `, name);
});
