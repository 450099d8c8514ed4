/**
 * Puts each program of `bin/` and all that it imports into few files, in the place of what the compiler made of it: Node
 * starts a process twice as fast from ten files as from six hundred (docs/decisions/0014).
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const PROGRAMS = ['rbee', 'registry', 'queen', 'hive', 'worker', 'keeper', 'bounded-output'];
const OUT = 'dist/bin';

for (const name of readdirSync(OUT)) if (name.startsWith('chunk-')) rmSync(`${OUT}/${name}`);
await build({
  entryPoints: PROGRAMS.map((name) => `bin/${name}.ts`),
  outdir: OUT,
  bundle: true,
  splitting: true,
  chunkNames: 'chunk-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20.11',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
  // It brings native code of its own.
  external: ['node-llama-cpp'],
  // For packages that are no modules: they ask for Node's own by `require`.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
});

/** The commit that is built: two builds of one version are told apart by it. Null where this is no checkout, or there is no git. */
function commitOf() {
  const git = (...args) => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    // Not that of a repository which this directory happens to lie in.
    if (realpathSync(git('rev-parse', '--show-toplevel')) !== realpathSync('.')) return null;
    return git('rev-parse', '--short=7', 'HEAD');
  } catch {
    return null;
  }
}

// Read by wiring/version.ts.
writeFileSync('dist/commit.json', `${JSON.stringify(commitOf())}\n`);
