import t from 'tap';
import { hostForUrl, hostOf, isLoopback, isPrivate, normaliseUrl, resolvePeerUrl, unmapped } from '../../wire/url.js';

t.test('two spellings of one peer are one URL', async (t) => {
  for (const [text, url] of [
    ['http://192.168.1.100:7835/', 'http://192.168.1.100:7835'],
    ['HTTP://Desk:80', 'http://desk'],
    ['https://desk:443/', 'https://desk'],
    ['http://desk:7833/rbee/', 'http://desk:7833/rbee'],
    ['http://[0:0:0:0:0:0:0:1]:7833', 'http://[::1]:7833'],
    ['http://127.1:7833', 'http://127.0.0.1:7833'],
  ] as const) {
    t.same(normaliseUrl(text), { ok: true, url });
  }
});

t.test('what is no URL of a peer is refused with a reason', async (t) => {
  for (const [text, reason] of [
    ['', /absolute URL/],
    ['desk:7833', /http or https/],
    ['ftp://desk', /http or https/],
    ['javascript:alert(1)', /http or https/],
    ['http://user:secret@desk', /without credentials/],
    ['http://desk/?a=1', /without a query/],
    ['http://desk/#a', /without a query/],
    ['http://desk:0', /port/],
    [`http://desk/${'a'.repeat(2048)}`, /2048/],
  ] as const) {
    t.match(normaliseUrl(text), { ok: false, detail: reason }, text.slice(0, 40));
  }
  t.notMatch(JSON.stringify(normaliseUrl('http://user:secret@desk')), /secret/);
});

t.test('loopback and private addresses are known in all their forms', async (t) => {
  for (const host of ['localhost', 'a.localhost', '127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1']) {
    t.ok(isLoopback(host), host);
  }
  for (const host of ['128.0.0.1', 'localhost.example.org', '::2', '::ffff:10.0.0.1', '127.example.org']) {
    t.notOk(isLoopback(host), host);
  }
  for (const address of [
    '10.0.0.1',
    '172.16.0.1',
    '172.31.9.9',
    '192.168.0.1',
    '100.64.0.1',
    '169.254.1.1',
    'fd00::1',
    'fe80::1',
    '::ffff:10.0.0.1',
  ]) {
    t.ok(isPrivate(address), address);
  }
  for (const address of ['8.8.8.8', '172.15.0.1', '172.32.0.1', '100.63.0.1', '100.128.0.1', '2001:db8::1', 'desk']) {
    t.notOk(isPrivate(address), address);
  }
});

t.test('loopback in a message of a peer means the machine of that peer', async (t) => {
  const desk = 'http://desk:7835';
  for (const [url, there] of [
    ['http://127.0.0.1:8080', 'http://desk:8080'],
    ['https://localhost:8080/base', 'https://desk:8080/base'],
    ['http://[::1]:8080', 'http://desk:8080'],
    ['http://192.168.1.5:8080', 'http://192.168.1.5:8080'],
    ['http://localhost.example.org:8080', 'http://localhost.example.org:8080'],
    ['http://127.example.org:8080', 'http://127.example.org:8080'],
    ['http://a.localhost:8080', 'http://desk:8080'],
    ['http://127.0.0.1:', 'http://desk'],
    ['http://127.0.0.1:99999', 'http://127.0.0.1:99999'],
  ] as const) {
    t.equal(resolvePeerUrl(desk, url), there, url);
    t.equal(resolvePeerUrl('http://127.0.0.1:7835', url), url, 'it is ours as well');
  }
  t.equal(resolvePeerUrl('http://[fd00::1]:7835', 'http://127.0.0.1:8080'), 'http://[fd00::1]:8080');
});

t.test('addresses become hosts of URLs and back', async (t) => {
  t.equal(hostForUrl('::1'), '[::1]');
  t.equal(hostForUrl('fe80::1%eth0'), '[fe80::1]');
  t.equal(hostForUrl('::ffff:192.168.1.5'), '192.168.1.5');
  t.equal(hostOf('http://[::1]:7833'), '::1');
  t.equal(unmapped('::FFFF:1.2.3.4'), '1.2.3.4');
});
