import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { enterCgroup, findSlice, membersOf, removeCgroup } from '../../../actors/process/cgroup.js';
import { membersOfSession } from '../../../actors/process/process-identity.js';
import { waitFor } from '../../helpers/wait.js';

const ofNobody = () => false;

/** A /proc/self whose mountinfo names `mount` as a cgroup v2 hierarchy. */
function fakeProc(t: Test, { options = 'rw', own = '/' } = {}) {
  const root = t.testdir({ proc: { self: {} }, 'cgroup fs': {} });
  const mount = path.join(root, 'cgroup fs');
  const line = `41 31 0:38 / ${mount.replaceAll(' ', '\\040')} ${options},nosuid shared:9 - cgroup2 cgroup2 ${options}`;
  const v1 = '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu';
  writeFileSync(path.join(root, 'proc', 'self', 'mountinfo'), `${v1}\n${line}\n`);
  writeFileSync(path.join(root, 'proc', 'self', 'cgroup'), `1:cpu:/\n0::${own}\n`);
  return { procRoot: path.join(root, 'proc'), mount };
}

t.test('the slice is where cgroup v2 is mounted according to mountinfo', async (t) => {
  const { procRoot, mount } = fakeProc(t);
  t.equal(findSlice({ procRoot }), path.join(mount, 'rbee.slice'));
});

t.test('where the top is not writable it is below our own cgroup', async (t) => {
  const { procRoot, mount } = fakeProc(t, { own: '/user.slice/app' });
  // A file in its place, so that the directory cannot be created.
  writeFileSync(path.join(mount, 'rbee.slice'), '');
  mkdirSync(path.join(mount, 'user.slice', 'app'), { recursive: true });
  t.equal(findSlice({ procRoot }), path.join(mount, 'user.slice', 'app', 'rbee.slice'));
});

t.test('there is none where it is mounted read-only, or not at all', async (t) => {
  t.equal(findSlice({ procRoot: fakeProc(t, { options: 'ro' }).procRoot }), null);
  t.equal(findSlice({ procRoot: t.testdir() }), null);
});

t.test('names with a path in them, and a cgroup that is in use, are refused', async (t) => {
  const slice = path.join(t.testdir({ 'rbee.slice': { llm: { 8080: { 'cgroup.procs': '1\n' } } } }), 'rbee.slice');
  t.equal(enterCgroup({ slice, group: '..', instance: '8081', pid: 1, others: () => [] }), null);
  t.equal(enterCgroup({ slice, group: 'a/b', instance: '8081', pid: 1, others: () => [] }), null);
  t.equal(enterCgroup({ slice, group: 'llm', instance: '8080', pid: 1, others: () => [] }), null);
  const outside = path.join(t.testdir({ keep: {} }), 'keep');
  await removeCgroup(outside, ofNobody);
  t.ok(existsSync(outside), 'nothing outside our slice is removed');
});

const realSlice = process.platform === 'linux' ? findSlice() : null;
if (realSlice) await removeCgroup(path.join(realSlice, 'none', 'none'), ofNobody);

t.test(
  'a real cgroup takes a process, shows what it starts, and ends with it',
  {
    skip: realSlice === null && 'no cgroup v2 can be written here',
  },
  async (t) => {
    const slice = findSlice() as string;
    const child = spawn('sh', ['-c', 'sleep 600 & wait'], { detached: true, stdio: 'ignore' });
    t.teardown(() => child.kill('SIGKILL'));
    const pid = child.pid as number;
    await waitFor('what it starts', () => membersOfSession(pid).length === 2);
    const instance = `test-${process.pid}`;
    const others = () => membersOfSession(pid);
    const cgroup = enterCgroup({ slice, group: 'test', instance, pid, others }) as string;
    t.equal(cgroup, path.join(slice, 'test', instance));
    t.strictSame(new Set(membersOf(cgroup)), new Set(membersOfSession(pid)));
    t.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), `/rbee.slice/test/${instance}`);
    t.equal(enterCgroup({ slice, group: 'test', instance, pid, others }), null, 'a second process does not get in');
    await removeCgroup(cgroup, (member) => member === pid);
    t.ok(existsSync(cgroup) && membersOfSession(pid).length === 2, 'one that has become another’s is left alone');
    await removeCgroup(cgroup, ofNobody);
    await waitFor('it to be ended and removed', () => !existsSync(cgroup));
    await waitFor('its end', () => child.signalCode === 'SIGKILL');
    t.equal(membersOfSession(pid).length, 0);
  },
);
