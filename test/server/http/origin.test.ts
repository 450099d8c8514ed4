import type { Context } from 'koa';
import t from 'tap';
import { checkOrigin } from '../../../server/http/origin.js';

/** Whether a request with this Host passes that arrived at this address. The addresses are reserved for documentation. */
async function passes(host: string, localAddress: string): Promise<boolean> {
  const headers: Record<string, string> = { host };
  const req = { httpVersion: '1.1', headers, rawHeaders: ['Host', host], socket: { localAddress } };
  const ctx = { method: 'GET', path: '/', req, get: (name: string) => headers[name] ?? '' } as unknown as Context;
  let passed = false;
  const next = async () => {
    passed = true;
  };
  await checkOrigin({ allowHosts: [], allowOrigins: [] })(ctx, next).catch((error: { status: number }) => {
    t.equal(error.status, 403);
  });
  return passed;
}

t.test('a request for the address at which it arrived passes, however new that address is', async (t) => {
  t.ok(await passes('192.0.2.9:7835', '192.0.2.9'));
  t.ok(await passes('192.0.2.9:7835', '::ffff:192.0.2.9'));
  t.ok(await passes('[2001:db8::9]:7835', '2001:db8::9'));
});

t.test('a request for another address, or for a foreign name that resolves to us, is refused', async (t) => {
  t.notOk(await passes('192.0.2.10:7835', '192.0.2.9'));
  t.notOk(await passes('evil.example:7835', '192.0.2.9'));
});
