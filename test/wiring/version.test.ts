import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { version } from '../../wiring/version.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const { version: released } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

t.test('the version names the commit that was built, where there is one', async (t) => {
  if (!existsSync(path.join(ROOT, '.git'))) return t.equal(version, released);
  t.match(version, new RegExp(`^${released.replaceAll('.', '\\.')}\\+[0-9a-f]{7,40}$`));
});

t.test('without git, or inside of another repository, it is the released one', async (t) => {
  const dir = t.testdir({ rbee: {} });
  const rbee = path.join(dir, 'rbee');
  mkdirSync(path.join(rbee, 'dist', 'wiring'), { recursive: true });
  cpSync(path.join(ROOT, 'package.json'), path.join(rbee, 'package.json'));
  cpSync(path.join(ROOT, 'dist', 'wiring', 'version.js'), path.join(rbee, 'dist', 'wiring', 'version.js'));
  const script = "import('./dist/wiring/version.js').then(({ version }) => console.log(version))";
  const printed = execFileSync(process.execPath, ['-e', script], { cwd: rbee, encoding: 'utf8' }).trim();
  t.equal(printed, released);
});
