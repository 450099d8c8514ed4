import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createCheckModel, usualModelDirs } from '../../../actors/models/model-access.js';

/** A directory of models, and files next to it. */
function files(t: Test) {
  const root = t.testdir({
    models: {
      'a.gguf': 'GGUF and more',
      'text.gguf': 'root:$6$secret',
      'sha256-1': 'GGUF',
      hub: { blobs: { b: 'GGUF' } },
    },
    elsewhere: { 'c.gguf': 'GGUF', shadow: 'root:$6$secret', 'secret.gguf': 'root:$6$secret' },
  });
  const models = path.join(root, 'models');
  const snapshots = path.join(models, 'hub', 'snapshots');
  mkdirSync(snapshots);
  symlinkSync('../blobs/b', path.join(snapshots, 'b.gguf'));
  symlinkSync(path.join(root, 'elsewhere', 'c.gguf'), path.join(models, 'out.gguf'));
  writeFileSync(path.join(models, 'empty.gguf'), '');
  return { root, models, elsewhere: path.join(root, 'elsewhere') };
}

const checking = (dirs: string[], anyModelFile: boolean) => {
  const check = createCheckModel({ dirs, anyModelFile, usual: ['/nowhere/models'] });
  return (model: string, worker = 'cpu') =>
    check({ model, worker }).then(
      () => null,
      (error: Error) => error.message,
    );
};

t.test('with a token only files in directories of models may be run; links are resolved', async (t) => {
  const { models, elsewhere } = files(t);
  const check = checking([models], false);
  for (const name of ['a.gguf', 'sha256-1', 'hub/snapshots/b.gguf', 'sub/../a.gguf', 'not-there.gguf']) {
    t.equal(await check(path.join(models, name)), null, name);
  }
  for (const file of [
    path.join(elsewhere, 'c.gguf'),
    `${models}/../elsewhere/c.gguf`,
    path.join(models, 'out.gguf'),
    path.join(elsewhere, 'not-there.gguf'),
    models,
    '/etc/shadow',
    'tiny',
  ]) {
    const reason = await check(file);
    t.match(reason, /is in no directory of models: allow its directory with --models-dir\. Allowed are .*models/, file);
  }
});

t.test('other files are refused, and their content is not quoted', async (t) => {
  const { models, elsewhere } = files(t);
  for (const check of [checking([models], false), checking([models], true)]) {
    for (const name of ['text.gguf', 'empty.gguf', 'hub']) {
      t.match(await check(path.join(models, name)), / is no GGUF file$/, name);
    }
    t.notMatch(await check(path.join(elsewhere, 'secret.gguf')), /root|secret\$/);
    t.type(await check('/etc/shadow'), 'string');
    t.type(await check('/dev/zero'), 'string');
  }
});

t.test('without a token, when only this machine can call, any model file may be run', async (t) => {
  const { elsewhere } = files(t);
  const check = checking([], true);
  t.equal(await check(path.join(elsewhere, 'c.gguf')), null);
  t.equal(await check('/nowhere/tiny.gguf'), null, 'the worker reports that it is missing');
  t.match(await check(path.join(elsewhere, 'secret.gguf')), /is no GGUF file$/);
  t.match(await check(path.join(elsewhere, 'shadow')), /is in no directory of models/);
});

t.test('of URLs only those of Hugging Face are accepted', async (t) => {
  for (const check of [checking([], false), checking([], true)]) {
    for (const model of ['http://127.0.0.1:1/a.gguf', 'https://a/b.gguf', 'file:///etc/shadow', 'ftp://a/b.gguf']) {
      t.match(await check(model), /models are not loaded from URLs/, model);
    }
    t.equal(await check('hf:user/repo/file.gguf'), null);
    t.equal(await check('hf:user/repo:Q4_K_M'), null);
    for (const model of ['hf:', 'hf:user', 'hf://a/b.gguf', 'hf:user/repo/../../x', 'hf:http://a/b']) {
      t.match(await check(model), /expected hf:user\/repo\/file\.gguf/, model);
    }
    t.equal(await check('llama3.2', 'openai'), null, 'the name of a model at an engine is no path');
  }
});

t.test('the usual directories are those of the usual programs, and not the current one', async (t) => {
  const dirs = usualModelDirs({ OLLAMA_MODELS: '/big/ollama', HF_HOME: '/big/hf' }, '/home/me');
  for (const dir of ['/home/me/models', '/big/ollama', '/big/hf/hub', '/home/me/.lmstudio/models']) {
    t.ok(dirs.includes(dir), dir);
  }
  t.notOk(dirs.includes(process.cwd()) || dirs.includes('/home/me'));
});
