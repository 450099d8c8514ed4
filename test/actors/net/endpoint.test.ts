import type { NetworkInterfaceInfo } from 'node:os';
import t from 'tap';
import { type Endpoint, urlTowards } from '../../../actors/net/endpoint.js';

const wildcard: Endpoint = { scheme: 'http', address: '0.0.0.0', port: 7835, advertiseUrl: null };

const info = (address: string) =>
  ({ address, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as unknown as NetworkInterfaceInfo;

const interfaces = () => ({
  lo: [info('127.0.0.1'), info('::1')],
  eth0: [info('fe80::1'), info('2001:db8::7'), info('192.168.1.7')],
  wg0: [info('fd00::7')],
});

const urlFor = (endpoint: Partial<Endpoint>, localAddress: string) =>
  urlTowards({ ...wildcard, ...endpoint }, { localAddress }, interfaces);

t.test(
  'where only IPv4 is listened on, a peer reached by IPv6 is sent the IPv4 address of that interface',
  async (t) => {
    t.equal(urlFor({}, '192.168.1.7'), 'http://192.168.1.7:7835');
    t.equal(urlFor({}, '::ffff:192.168.1.7'), 'http://192.168.1.7:7835');
    t.equal(urlFor({}, '::1'), 'http://127.0.0.1:7835');
    t.equal(urlFor({}, '2001:db8::7'), 'http://192.168.1.7:7835');
    t.equal(urlFor({}, 'fe80::1%eth0'), 'http://192.168.1.7:7835');
  },
);

t.test('where that interface has no IPv4 address, the error names the flag to set', async (t) => {
  t.throws(() => urlFor({}, 'fd00::7'), { kind: 'not-allowed', message: /fd00::7.*--bind ::.*--advertise-url/ });
});

t.test('a process that listens on IPv6, on one address, or with --advertise-url is not affected', async (t) => {
  t.equal(urlFor({ address: '::' }, '2001:db8::7'), 'http://[2001:db8::7]:7835');
  t.equal(urlFor({ address: '10.0.0.1' }, '::1'), 'http://10.0.0.1:7835');
  t.equal(urlFor({ advertiseUrl: 'https://hive.example' }, 'fd00::7'), 'https://hive.example');
});
