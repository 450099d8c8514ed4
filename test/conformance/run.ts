/**
 * Holds a process that runs against docs/protocol.md, whoever made it:
 * `node dist/test/conformance/run.js --queen http://desk:7833` prints what holds, section by section.
 * Exit code 0 when all holds, 1 when something does not, 2 for wrong usage.
 */
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { type Check, runChecks } from './check.js';
import { hiveChecks } from './hive.js';
import { queenChecks } from './queen.js';
import { registryChecks } from './registry.js';

const CHECKS: Record<string, Check[]> = { queen: queenChecks, hive: hiveChecks, registry: registryChecks };

const USAGE = `Holds a running process against docs/protocol.md and prints what holds.

  node dist/test/conformance/run.js --queen <url>
  node dist/test/conformance/run.js --hive <url>
  node dist/test/conformance/run.js --registry <url>

  --token <token>    what the process wants from its callers
  --host <address>   an address of this machine that the process can reach (127.0.0.1);
                     the checks play its peers there

Use a process of its own for it: the checks make hives come and go.
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
if (!URL.canParse(url)) fail(`--${kind}: ${url} is no URL`);

let held = 0;
let failed = 0;
const target = { url: url.replace(/\/+$/, ''), token, host };
for await (const { section, says, failure } of runChecks(CHECKS[kind] ?? [], target)) {
  if (failure === null) held += 1;
  else failed += 1;
  const mark = failure === null ? pc.green('holds') : pc.red('FAILS');
  process.stdout.write(`${mark}  ${section.padEnd(4)} ${says}\n`);
  if (failure !== null) process.stdout.write(`${failure.replace(/^/gm, '            ')}\n`);
}
process.stdout.write(`${held} hold, ${failed} do not\n`);
process.exit(failed === 0 ? 0 : 1);
