/** Keeps the direction of imports between rooms, and machines and stores free of clocks, randomness and I/O. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { houseFiles, ROOMS, violations } from './helpers/house.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

t.test('every room imports only what it may', async (t) => {
  const files = houseFiles(root);
  t.ok(
    files.some((file) => file.path === 'wire/status.ts'),
    'files were found',
  );
  for (const violation of files.flatMap(violations)) t.fail(violation);
});

/** Code at `path` and the reason for which it must be refused; without a reason it must pass. */
const samples: [path: string, text: string, reason?: RegExp][] = [
  ['wire/a.ts', "import { Type } from '@sinclair/typebox';"],
  ['wire/a.ts', "import type { B } from './b.js';"],
  ['wire/a.ts', "import type { B } from '../machines/b.js';", /wire\/ imports no other room/],
  ['wire/a.ts', "import { readFileSync } from 'fs';", /only Node has/],

  ['machines/a.ts', "import { setup } from 'xstate';"],
  ['machines/a.ts', "import { getShortestPaths } from 'xstate/graph';"],
  ['machines/a.ts', "import { b } from '../stores/b.js';\nimport { c } from '../wire/c.js';"],
  ['machines/a.ts', "import os from 'node:os';", /only Node has/],
  ['machines/a.ts', "import Koa from 'koa';", /no packages but xstate and @xstate\/store/],
  ['machines/a.ts', "import { announce } from '../actors/hive/announce.js';", /imports only stores, wire/],
  ['machines/a.ts', "export * from '../server/b.js';", /imports only stores, wire/],
  ['machines/a.ts', "const b = await import('../bin/b.js');", /nothing imports bin/],
  ['machines/a.ts', 'const b = await import(name);', /must be known before it runs/],
  ['machines/a.ts', "let b: import('node:http').Server;", /only Node has/],

  ['stores/a.ts', "import { createStore } from '@xstate/store';\nimport type { B } from '../machines/b.js';"],
  ['stores/a.ts', "import { b } from '../actors/b.js';", /imports only machines, wire/],
  ['stores/a.ts', "import pino from 'pino';", /no packages but/],
  ['stores/a.ts', "import 'node:fs';", /only Node has/],

  ['actors/a.ts', "import fs from 'node:fs';\nimport si from 'systeminformation';\nimport './b.js';"],
  ['actors/a.ts', "import type { B } from '../machines/b.js';\nimport type { C } from '../stores/c.js';"],
  ['actors/a.ts', "import { b } from '../machines/b.js';", /only types from machines/],
  ['actors/a.ts', "import { type B } from '../stores/b.js';", /only types from stores/],
  ['actors/a.ts', "import type { B } from '../server/b.js';", /imports only wire, machines, stores/],

  ['server/a.ts', "import Koa from 'koa';\nimport { b } from '../stores/b.js';\nimport { c } from '../wire/c.js';"],
  ['server/a.ts', "export type { B } from '../machines/b.js';"],
  ['server/a.ts', "export { b } from '../machines/b.js';", /only types from machines/],
  ['server/a.ts', "import type { B } from '../actors/b.js';", /imports only stores, wire, machines/],
  ['server/a.ts', "import type { B } from '../bin/b.js';", /nothing imports bin/],
  ['server/a.ts', "import b from '../package.json' with { type: 'json' };", /in none of the rooms/],

  ['client/a.ts', "import { b } from '../wire/b.js';"],
  ['client/a.ts', "import { b } from '../stores/b.js';", /imports only wire/],

  ['web/a.tsx', "import { b } from '../client/b.js';\nimport type { C } from '../wire/c.js';"],
  ['web/a.tsx', "import { b } from '../server/b.js';", /imports only wire, client/],
  ['web/a.tsx', "import os from 'node:os';", /only Node has/],

  ['wiring/a.ts', "import { b } from '../actors/net/b.js';\nimport { c } from '../server/c.js';\nimport './d.js';"],
  ['wiring/a.ts', "import { b } from '../cli/b.js';", /imports only wire, machines/],
  ['wiring/a.ts', "import { b } from '../bin/b.js';", /nothing imports bin/],

  ['cli/a.ts', "import { b } from '../wiring/b.js';\nimport { c } from '../client/c.js';\nimport './d.js';"],
  ['cli/a.ts', "import { b } from '../bin/b.js';", /nothing imports bin/],

  ['bin/a.ts', "import { b } from '../wiring/b.js';\nimport { c } from '../cli/c.js';\nimport './d.js';"],
  ['bin/a.ts', "import { b } from '../actors/b.js';\nimport { c } from '../server/c.js';\nimport './d.js';"],
  ['bin/a.ts', "import { b } from '../test/helpers/b.js';", /imports only/],
  ['bin/a.ts', "import { b } from '../bench/b.js';", /imports only/],

  ['bench/a.ts', "import { b } from '../bin/b.js';\nimport { c } from '../test/helpers/c.js';"],

  ['machines/a.ts', 'const at = Date.now();', /a\.ts:1 uses Date\.now: machines\/ uses no clock/],
  ['machines/a.ts', '\nconst at = new Date().toISOString();', /a\.ts:2 uses new Date/],
  ['machines/a.ts', 'const jitter = Math.random();', /uses Math\.random/],
  ['machines/a.ts', 'setTimeout(f, 10);', /uses setTimeout/],
  ['machines/a.ts', 'globalThis.setInterval(f, 10);', /uses setInterval/],
  ['machines/a.ts', "await fetch('http://a/');", /uses fetch/],
  ['stores/a.ts', "console.log('a');", /a\.ts:1 uses console\.log: stores\/ uses no clock/],
  ['stores/a.ts', 'const at = Date.now();', /uses Date\.now/],
  ['machines/a.ts', "// Date.now(), fetch(\nconst text = 'Math.random() and new Date()';"],
  ['actors/a.ts', 'setTimeout(() => console.log(Date.now(), Math.random()), 10);'],
];

t.test('each rule refuses what it should, and nothing else', async (t) => {
  for (const [path, text, reason] of samples) {
    const found = violations({ path, text });
    const name = `${path}: ${text.replaceAll('\n', ' ')}`;
    if (reason) t.match(found, [reason], name);
    else t.strictSame(found, [], name);
  }
  for (const room of ROOMS) {
    t.ok(
      samples.some(([path]) => path.startsWith(`${room}/`)),
      `${room}/ has a sample`,
    );
  }
});

t.test('a violation names the file, the line, the import and the reason', async (t) => {
  const text = "import { a } from './a.js';\n\nimport { b } from '../machines/b.js';\n";
  t.strictSame(violations({ path: 'actors/c.ts', text }), [
    'actors/c.ts:3 imports ../machines/b.js: actors/ takes only types from machines/: use import type',
  ]);
});
