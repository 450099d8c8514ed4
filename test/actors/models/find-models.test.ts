/** What is found on a machine: real files, and real servers on ports of their own. */
import { mkdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { findEngines } from '../../../actors/models/find-engines.js';
import { findModels, usualDirectories } from '../../../actors/models/find-models.js';
import { offer } from '../../../cli/offer-workers.js';
import { fakeEngine } from '../../fakes/engine.js';
import { startProcess } from '../../helpers/process.js';
import { temporary } from '../../helpers/temporary.js';

const MIB = 1024 * 1024;

/** Sparse: large to look at, nothing on the disk. */
function file(dir: string, name: string, { magic = 'GGUF', bytes = 2 * MIB, at = 1 } = {}): string {
  const whole = path.join(dir, name);
  mkdirSync(path.dirname(whole), { recursive: true });
  writeFileSync(whole, magic);
  truncateSync(whole, bytes);
  utimesSync(whole, at, at);
  return whole;
}

const search = (dir: string, depth: number, signal = new AbortController().signal) =>
  findModels({ directories: [{ dir, depth }], signal });

t.test('models are found down to the given depth, the latest first', async (t) => {
  const dir = temporary(t);
  const old = file(dir, 'old.gguf', { at: 1 });
  const fresh = file(dir, 'maker/model/fresh.gguf', { at: 2 });
  file(dir, 'a/b/c/too-deep.gguf');
  t.same(
    (await search(dir, 2)).map(({ file }) => file),
    [fresh, old],
  );
  t.match(await search(dir, 0), [{ file: old, bytes: 2 * MIB, modifiedMs: 1000 }]);
});

t.test('files that only look like a model are left out', async (t) => {
  const dir = temporary(t);
  const first = file(dir, 'big-00001-of-00003.gguf');
  file(dir, 'big-00002-of-00003.gguf');
  file(dir, 'mmproj-model.gguf');
  file(dir, 'ggml-vocab-llama.gguf');
  file(dir, 'page.gguf', { magic: '<htm' });
  file(dir, 'vocabulary.gguf', { bytes: 1000 });
  file(dir, 'model.gguf.part');
  file(dir, 'node_modules/x.gguf');
  file(dir, '.hidden/x.gguf');
  mkdirSync(path.join(dir, 'directory.gguf'));
  t.same(
    (await search(dir, 3)).map(({ file }) => file),
    [first],
  );
});

t.test('a search that runs out of time returns what it has found', async (t) => {
  const dir = temporary(t);
  file(dir, 'a.gguf');
  t.same(await search(dir, 1, AbortSignal.abort()), []);
  t.same(await search(path.join(dir, 'nowhere'), 3), []);
});

t.test('the variables of other programs are read for directories', async (t) => {
  const dirs = usualDirectories({ LLAMA_CACHE: '/cache', HF_HOME: '/hf' }, '/home/me', '/work').map(({ dir }) => dir);
  for (const dir of ['/cache', '/hf/hub', '/home/me/.lmstudio/models', '/home/me/models', '/work']) {
    t.ok(dirs.includes(dir), dir);
  }
});

t.test('engines are found by their list of models; a worker of rbee is not listed', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await startProcess(t, { name: 'worker', args: ['--model', 'm', '--engine-url', engine.url] });
  const asked = [engine.url, worker.url, 'http://127.0.0.1:9'].map((url) => ({ name: 'Ollama', url }));
  t.same(await findEngines(asked, AbortSignal.timeout(5_000)), [
    { name: 'Ollama', url: engine.url, models: ['llama3.2:latest', 'other'] },
  ]);
});

t.test('models are offered as commands to paste', async (t) => {
  const queen = 'http://127.0.0.1:7833';
  const models = Array.from({ length: 7 }, (_, i) => ({ file: `/m/it's ${i}.gguf`, bytes: 3 * MIB, modifiedMs: 1 }));
  const lines = offer(queen, models, [{ name: 'Ollama', url: 'http://127.0.0.1:11434', models: ['llama3.2'] }]);
  t.match(lines[1], / spawn llama3\.2 --engine-url http:\/\/127\.0\.0\.1:11434 +.*Ollama/);
  t.match(lines.join('\n'), "spawn '/m/it'\\''s 0.gguf' ");
  t.match(lines.join('\n'), /and 2 more/);
  t.notMatch(lines.join('\n'), /--url/, 'the usual queen need not be named');
  t.match(offer('http://127.0.0.1:1', models, []).join('\n'), /--url http:\/\/127\.0\.0\.1:1 /);
  t.match(offer(queen, [], []).join('\n'), /no model here yet[\s\S]*ollama pull[\s\S]*spawn hf:[\s\S]*demo/);
});
