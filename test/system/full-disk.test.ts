/** A process on a disk that is full or read-only: it starts and serves, and reports what is lost. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { getJson, openStream } from '../helpers/http.js';
import { run } from '../helpers/jobs.js';
import { restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

/** A small file system of its own; null where we may not make one. */
function smallDisk(t: Test): string | null {
  const dir = mkdtempSync(path.join(tmpdir(), 'rbee-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'none', dir]).status === 0;
  t.teardown(() => {
    if (mounted) spawnSync('umount', ['-l', dir]);
    rmSync(dir, { recursive: true, force: true });
  });
  return mounted ? dir : null;
}

function fill(dir: string): void {
  for (let size = 64 * 1024; size >= 1; size = Math.floor(size / 2)) {
    for (let n = 0; ; n += 1) {
      try {
        writeFileSync(path.join(dir, `full-${size}-${n}`), Buffer.alloc(size));
      } catch {
        break;
      }
    }
  }
}

const may = spawnSync('sh', [
  '-c',
  'd=$(mktemp -d) && mount -t tmpfs none "$d" && umount "$d"; s=$?; rmdir "$d"; exit $s',
]);
const options = { skip: may.status !== 0 && 'no file system can be mounted here' };

for (const [what, spoil] of [
  ['full', (dir: string) => fill(dir)],
  ['read-only', (dir: string) => void spawnSync('mount', ['-o', 'remount,ro', dir])],
] as const) {
  t.test(`a hive starts, and starts again, on a disk that is ${what}`, options, async (t) => {
    const dir = smallDisk(t) as string;
    const hive = await startProcess(t, { name: 'hive', stateDir: dir, args: ['--hive-id', 'gpu-0'] });
    const instance = () => JSON.parse(readFileSync(path.join(dir, 'hive', 'gpu-0', 'instance.json'), 'utf8')).instance;
    const before = instance();
    spoil(dir);
    await hive.kill('SIGKILL');
    const again = await restart(hive);
    t.match(again.stderr(), /cannot lock .*; what changes from now on is lost at the next start/);
    t.equal((await getJson(`${again.url}/health`)).status, 200);
    const stream = await openStream(t, `${again.url}/v1/heartbeats/stream`);
    await waitFor('its telemetry', () => stream.events.length > 0);
    t.equal(instance(), before, 'it is the same one');
    const model = '/nowhere/tiny.gguf';
    const { ending } = await run(t, again.url, { operation: 'worker_spawn', model, worker: 'cpu' });
    t.match(ending, /\[ERROR\] .*cannot be started: (ENOSPC|EROFS)/, 'a worker needs room for what it prints');
    t.same(await again.kill('SIGTERM'), { code: 0, signal: null });
  });

  t.test(`a hive starts for the first time on a disk that is ${what}`, options, async (t) => {
    const dir = smallDisk(t) as string;
    mkdirSync(path.join(dir, 'state'), { mode: 0o700 });
    spoil(dir);
    const hive = await startProcess(t, {
      name: 'hive',
      stateDir: path.join(dir, 'state'),
      args: ['--hive-id', 'gpu-0'],
    });
    t.equal((await getJson(`${hive.url}/health`)).status, 200);
    t.match(hive.stderr(), /lost at the next start/);
  });
}

t.test('a name that is in use is refused there, too', options, async (t) => {
  const dir = smallDisk(t) as string;
  await startProcess(t, { name: 'hive', stateDir: dir, args: ['--hive-id', 'gpu-0'] });
  fill(dir);
  const error = await startProcess(t, { name: 'hive', stateDir: dir, args: ['--hive-id', 'gpu-0'] }).catch(
    (error) => error,
  );
  t.match(error, { exit: { code: 3 } });
});
