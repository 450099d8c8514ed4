import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { readSshConfig, type SshHost } from '../../../actors/queen/read-ssh-config.js';

/** The hosts of a config of those files, the first called `config`, and what was logged. */
async function read(t: Test, files: Record<string, string>) {
  const folder = t.testdir();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text.replaceAll('<folder>', folder));
  }
  const logged: string[] = [];
  const hosts = await readSshConfig({ path: path.join(folder, 'config'), log: (message) => logged.push(message) });
  return { hosts, logged, folder };
}

const pairs = (hosts: SshHost[]) => hosts.map(({ alias, hostname }) => `${alias} ${hostname}`);

t.test('a host is its alias and its HostName, and without one the alias itself', async (t) => {
  const { hosts, logged } = await read(t, {
    config: 'Host desk\n  HostName 192.168.1.10\n  User me\n\nHost nas.lan\n  Port 2222\n',
  });
  t.strictSame(hosts, [
    { alias: 'desk', hostname: '192.168.1.10' },
    { alias: 'nas.lan', hostname: 'nas.lan' },
  ]);
  t.strictSame(logged, []);
});

t.test(
  'keywords in any case, equals signs, quotes, comments and Windows line ends are read as ssh reads them',
  async (t) => {
    const config =
      '\uFEFFHOST=one\r\n\thostname = "10.0.0.1" # the first\r\n# Host two\r\nhost "three"\r\nHostName\t10.0.0.3\r\n';
    const { hosts, logged } = await read(t, { config });
    t.strictSame(pairs(hosts), ['one 10.0.0.1', 'three 10.0.0.3']);
    t.strictSame(logged, []);
  },
);

t.test('several names on one Host line are hosts of their own, patterns are none', async (t) => {
  const { hosts } = await read(t, { config: 'Host a b c? *.lan !d\n  HostName %h.example.org\nHost *\n  User me\n' });
  t.strictSame(pairs(hosts), ['a a.example.org', 'b b.example.org']);
});

t.test('the HostName of a wildcard block applies to the hosts that fit it and to no other', async (t) => {
  const config = `
    Host gpu-1 gpu-2 other
      User me
    Host gpu-* !gpu-2
      HostName %h.rack.lan
    Host gpu-?
      HostName 10.0.0.9`;
  const { hosts } = await read(t, { config });
  t.strictSame(pairs(hosts), ['gpu-1 gpu-1.rack.lan', 'gpu-2 10.0.0.9', 'other other']);
});

t.test('the first HostName in the order of the file wins', async (t) => {
  const config =
    'Host *.early\n HostName 10.0.0.1\nHost x.early y\n HostName 10.0.0.2\n HostName 10.0.0.3\nHost y\n HostName 10.0.0.4\n';
  const { hosts } = await read(t, { config });
  t.strictSame(pairs(hosts), ['x.early 10.0.0.1', 'y 10.0.0.2']);
});

t.test('the same machine under two names is one host, with the first name', async (t) => {
  const { hosts } = await read(t, { config: 'Host a\n HostName Box.lan\nHost b\n HostName box.LAN\nHost box.lan\n' });
  t.strictSame(pairs(hosts), ['a Box.lan']);
});

t.test('tokens other than %h and %% leave the host out, with a line in the log', async (t) => {
  const config =
    'Host a\n HostName %h.lan\nHost b\n HostName %n.lan\nHost c\n HostName fe80::1%%eth0\nHost d\n HostName d%\n';
  const { hosts, logged } = await read(t, { config });
  t.strictSame(pairs(hosts), ['a a.lan', 'c fe80::1%eth0']);
  t.equal(logged.length, 2);
  t.match(logged[0], /"b".*"%n\.lan"/);
  t.match(logged[1], /"d".*"d%"/);
});

t.test('what is neither a host name nor an IP address is left out, with a line in the log', async (t) => {
  const wrong = [
    'http://x',
    'a/b',
    'user@x',
    'x:22',
    '[::1]',
    '10.0.0.300',
    '0x7f000001',
    '1.2',
    '-x',
    'a..b',
    'ä.lan',
  ];
  const config = `${wrong.map((name, n) => `Host w${n}\n  HostName ${name}\n`).join('')}Host ok\n HostName 2001:db8::7\n`;
  const { hosts, logged } = await read(t, { config });
  t.strictSame(pairs(hosts), ['ok 2001:db8::7']);
  t.equal(logged.length, wrong.length);
});

t.test('a Match block is ignored and the command that it names is never executed', async (t) => {
  const config = `
    Host a
      HostName 10.0.0.1
    Match exec "touch <folder>/executed"
      HostName 6.6.6.6
      Include more
    Host b
    Match host b
      HostName 6.6.6.6`;
  const { hosts, folder } = await read(t, { config, more: 'Host c\n' });
  t.strictSame(pairs(hosts), ['a 10.0.0.1', 'b b']);
  t.notOk(existsSync(path.join(folder, 'executed')));
});

t.test('Include follows several files and wildcards in any part of a path, relative to the first config', async (t) => {
  const { hosts, logged } = await read(t, {
    config: 'Include first "with space" missing\nInclude conf.d/*/host?.conf\nInclude <folder>/absolute\nHost last\n',
    first: 'Host one\n',
    'with space': 'Include deeper/two\n',
    'deeper/two': 'Host two\n',
    'conf.d/b/host2.conf': 'Host four\n',
    'conf.d/a/host1.conf': 'Host three\n',
    'conf.d/a/host10.conf': 'Host not-matched\n',
    'conf.d/.hidden/host1.conf': 'Host hidden\n',
    absolute: 'Host five\n',
  });
  t.strictSame(pairs(hosts), ['one one', 'two two', 'three three', 'four four', 'five five', 'last last']);
  t.strictSame(logged, []);
});

t.test('the config of the user includes relative to ~/.ssh, and ~ is the home folder', async (t) => {
  const home = t.testdir({
    '.ssh': { config: 'Include config.d/*\nInclude ~/lab/hosts\n', 'config.d': { a: 'Host a\n' } },
    lab: { hosts: 'Host b\n' },
  });
  const before = process.env.HOME;
  process.env.HOME = home;
  t.teardown(() => {
    process.env.HOME = before;
  });
  t.strictSame(pairs(await readSshConfig({ path: path.join(home, '.ssh', 'config') })), ['a a', 'b b']);
});

t.test('an Include within a Host block holds for that host only, and the block goes on after it', async (t) => {
  const { hosts } = await read(t, {
    config: 'Host a\n  Include inner\n  HostName 10.0.0.2\nHost b\n',
    inner: 'Host *\n  HostName 10.0.0.1\nHost b\n  HostName 10.0.0.3\n',
  });
  t.strictSame(pairs(hosts), ['a 10.0.0.1', 'b b']);
});

t.test('files that include each other are read once each, with a line in the log', async (t) => {
  const { hosts, logged } = await read(t, {
    config: 'Host a\nHost *\nInclude other\n',
    other: 'Host b\nInclude config\n',
  });
  t.strictSame(pairs(hosts), ['a a', 'b b']);
  t.equal(logged.length, 1);
  t.match(logged[0], /includes itself/);
});

t.test('a chain of Includes ends at a depth of 16, and 256 files are the most', async (t) => {
  const chain: Record<string, string> = { config: 'Include f1\n' };
  for (let n = 1; n <= 20; n++) chain[`f${n}`] = `Host h${n}\nHost *\nInclude f${n + 1}\n`;
  const deep = await read(t, chain);
  t.equal(deep.hosts.length, 16);
  t.match(deep.logged.join(), /too deeply/);

  const many: Record<string, string> = { config: 'Include many/*\nInclude one-more\n', 'one-more': 'Host late\n' };
  for (let n = 0; n < 255; n++) many[`many/${n}`] = `Host h${n}\n`;
  const wide = await read(t, many);
  t.equal(wide.hosts.length, 255, 'with the config itself 256 files');
  t.match(wide.logged.join(), /one-more is left out/);
});

t.test('a file with invalid lines is read without them, with a sentence for each', async (t) => {
  const config =
    'Host a\n HostName\n HostName 10.0.0.1\nHost c\nHost "b\n HostName 10.0.0.2\nHost\n HostName 10.0.0.3\n  ProxyCommand "x\n';
  const { hosts, logged } = await read(t, { config });
  t.strictSame(pairs(hosts), ['a 10.0.0.1', 'c c']);
  t.strictSame(
    logged.map((line) => /Line (\d+) /.exec(line)?.[1]),
    ['2', '5', '7'],
  );
});

t.test('a missing file has no hosts, and nothing is logged', async (t) => {
  const logged: string[] = [];
  const file = path.join(t.testdir(), 'none', 'config');
  t.strictSame(await readSshConfig({ path: file, log: (message) => logged.push(message) }), []);
  t.strictSame(await readSshConfig({ path: '/dev/null', log: (message) => logged.push(message) }), []);
  t.strictSame(logged, []);
});

t.test(
  'a folder, a file over 1 MiB or a dangling link is left out, with a sentence, and the rest is read',
  async (t) => {
    const folder = t.testdir({
      folder: {},
      big: `Host big\n${'#'.repeat(1024 ** 2)}`,
      config: 'Include big dangling folder\nHost a\n',
    });
    symlinkSync(path.join(folder, 'nowhere'), path.join(folder, 'dangling'));
    const logged: string[] = [];
    const hosts = await readSshConfig({ path: path.join(folder, 'config'), log: (message) => logged.push(message) });
    t.strictSame(pairs(hosts), ['a a']);
    t.equal(logged.length, 2);
    t.match(logged[0], /big cannot be read.*1 MiB/);
    t.match(logged[1], /folder cannot be read/);
    t.strictSame(await readSshConfig({ path: folder, log: (message) => logged.push(message) }), []);
    t.equal(logged.length, 3);
  },
);

t.test('more than 4096 hosts are dropped, with one line in the log', async (t) => {
  const config = Array.from({ length: 5000 }, (_, n) => `Host h${n}\n  HostName 10.0.${n >> 8}.${n & 255}\n`).join('');
  const { hosts, logged } = await read(t, { config });
  t.equal(hosts.length, 4096);
  t.strictSame(hosts.at(-1), { alias: 'h4095', hostname: '10.0.15.255' });
  t.equal(logged.length, 1);
});
