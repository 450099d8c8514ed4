/** Our own processes pass the checks of test/conformance/, which other implementations can run too. */
import t from 'tap';
import { type Check, runChecks } from '../conformance/check.js';
import { hiveChecks } from '../conformance/hive.js';
import { queenChecks } from '../conformance/queen.js';
import { registryChecks } from '../conformance/registry.js';
import { startProcess } from '../helpers/process.js';

t.jobs = 3;
const TOKEN = 'a-token-of-the-conformance-tests';
const kinds: ['queen' | 'hive' | 'registry', Check[]][] = [
  ['queen', queenChecks],
  ['hive', hiveChecks],
  ['registry', registryChecks],
];

for (const [name, checks] of kinds) {
  t.test(`a ${name} conforms to docs/protocol.md`, async (t) => {
    const { url } = await startProcess(t, { name, args: name === 'queen' ? ['--token', TOKEN] : [] });
    const token = name === 'queen' ? TOKEN : null;
    for await (const { section, claim, failure } of runChecks(checks, { url, token, host: '127.0.0.1' })) {
      t.equal(failure, null, `${section} ${claim}`);
    }
  });
}
