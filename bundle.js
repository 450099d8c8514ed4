/**
 * Bundles each program of `bin/`, and the client, with everything that they import: Node starts a process twice as fast
 * from ten files as from six hundred (docs/decisions/0014-programs-in-few-files.md), and a package without dependencies
 * installs without a registry.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const PROGRAMS = readdirSync('bin').map((file) => path.basename(file, '.ts'));
const OUT = 'dist/bin';

// The chunks of the last build, and what the compiler wrote for programs that have been removed since.
for (const file of readdirSync(OUT)) if (!PROGRAMS.includes(file.replace(/\..*/, ''))) rmSync(path.join(OUT, file));

const common = {
  bundle: true,
  format: 'esm',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
  metafile: true,
};
const programs = await build({
  ...common,
  entryPoints: PROGRAMS.map((name) => `bin/${name}.ts`),
  outdir: OUT,
  splitting: true,
  chunkNames: 'chunk-[hash]',
  platform: 'node',
  target: 'node22.15',
  // It brings native code of its own.
  external: ['node-llama-cpp'],
  // For packages in CommonJS: they load Node's own modules by `require`.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
});
const client = await build({
  ...common,
  entryPoints: ['client/index.ts'],
  outfile: 'dist/client.js',
  platform: 'neutral',
  target: 'es2022',
});

// Read by wiring/version.ts.
writeFileSync('dist/commit.json', `${JSON.stringify(commitOf())}\n`);
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licencesOf([programs.metafile, client.metafile]));

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

/** Names, versions and licences of all packages that contribute code to the bundles. The page has its own, by vite. */
function licencesOf(metafiles) {
  const inputs = metafiles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap((output) => Object.entries(output.inputs)),
  );
  const directories = inputs
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .flatMap(([file]) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []);
  return [...new Set(directories)]
    .sort()
    .map(licenceOf)
    .join(`\n${'-'.repeat(80)}\n\n`);
}

function licenceOf(directory) {
  const { name, version, license, author, repository } = JSON.parse(
    readFileSync(path.join(directory, 'package.json'), 'utf8'),
  );
  const files = readdirSync(directory)
    .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    .sort();
  const texts = files.map((file) => readFileSync(path.join(directory, file), 'utf8').trim());
  if (texts.length === 0)
    texts.push(`No licence file in the package. Author: ${author?.name ?? author ?? repository?.url ?? repository}`);
  return `${[`${name} ${version} (${license})`, ...texts].join('\n\n')}\n`;
}
