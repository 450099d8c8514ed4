/**
 * Checks a running process of any implementation against docs/protocol.md:
 * `node dist/test/conformance/run.js --queen http://desk:7833` prints the result of each check, by section.
 * Exit code 0 when all pass, 1 when one fails, 2 for wrong usage.
 */
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { type Check, runChecks } from './check.js';
import { hiveChecks } from './hive.js';
import { queenChecks } from './queen.js';
import { registryChecks } from './registry.js';

const CHECKS: Record<string, Check[]> = { queen: queenChecks, hive: hiveChecks, registry: registryChecks };

const USAGE = `Checks a running process against docs/protocol.md and prints the result of each check.

  node dist/test/conformance/run.js --queen <url>
  node dist/test/conformance/run.js --hive <url>
  node dist/test/conformance/run.js --registry <url>

  --token <token>    the token of the process, if it has one
  --host <address>   an address of this machine that the process can reach (127.0.0.1);
                     the checks start fake peers there

Start a separate process for it: the checks add and remove hives.
`;

function fail(message: string): never {
  process.stderr.write(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function parse() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      options: {
        queen: text,
        hive: text,
        registry: text,
        token: text,
        host: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

const { token = null, host = '127.0.0.1', help, ...targets } = parse();
if (help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [[kind, url] = [], ...more] = Object.entries(targets);
if (kind === undefined || url === undefined || more.length > 0) fail('expected one of --queen, --hive and --registry');
if (!URL.canParse(url)) fail(`--${kind}: ${url} is not a URL`);

let passed = 0;
let failed = 0;
const target = { url: url.replace(/\/+$/, ''), token, host };
for await (const { section, claim, failure } of runChecks(CHECKS[kind] ?? [], target)) {
  if (failure === null) passed += 1;
  else failed += 1;
  const mark = failure === null ? pc.green('pass') : pc.red('FAIL');
  process.stdout.write(`${mark}  ${section.padEnd(4)} ${claim}\n`);
  if (failure !== null) process.stdout.write(`${failure.replace(/^/gm, '            ')}\n`);
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
