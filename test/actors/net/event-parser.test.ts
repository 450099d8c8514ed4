import t from 'tap';
import { createEventParser } from '../../../actors/net/event-parser.js';

/** What comes out of `bytes` in pieces of `size`. */
function eventsOf(bytes: Buffer, size: number, bytesMax = 1024 * 1024): { event: string | undefined; data: string }[] {
  const events: { event: string | undefined; data: string }[] = [];
  const feed = createEventParser('http://peer', bytesMax, ({ event, data }) => events.push({ event, data }));
  for (let at = 0; at < bytes.length; at += size) feed(bytes.subarray(at, at + size));
  return events;
}

t.test('however a stream is cut and however its lines end, the events are the same', async (t) => {
  const text =
    '\ufeff: hi\n\nevent: heartbeat\ndata: {"ä":"€😀"}\n\ndata: one\ndata:two\nid: 3\ndatax: 1\ndat\n:data: x\n\ndata\ndata:  b\nevent\n\ndata:\n\nretry: 1\n\nevent: a\n\ndata: rest';
  const expected = [
    { event: 'heartbeat', data: '{"ä":"€😀"}' },
    { event: undefined, data: 'one\ntwo' },
    { event: undefined, data: '\n b' },
    { event: undefined, data: '' },
  ];
  for (const end of ['\n', '\r\n', '\r']) {
    const bytes = Buffer.from(text.replaceAll('\n', end));
    for (let size = 1; size <= bytes.length; size += 1) t.same(eventsOf(bytes, size), expected, `pieces of ${size}`);
  }
});

t.test('an event that is too long is refused, in one line or in many', async (t) => {
  const refused = { message: 'http://peer sent an event of more than 1000 bytes' };
  t.throws(() => eventsOf(Buffer.from(`data: ${'x'.repeat(4_000)}`), 100, 1_000), refused);
  t.throws(() => eventsOf(Buffer.from(`data: ${'x'.repeat(99)}\n`.repeat(20)), 100, 1_000), refused);
  t.equal(eventsOf(Buffer.from(`data: ${'€'.repeat(330)}\n\n`), 100, 1_000).length, 1);
});

t.test('parsing takes linear time, byte by byte and line by line', async (t) => {
  const begun = performance.now();
  t.equal(eventsOf(Buffer.from(`data: ${'x'.repeat(1_000_000)}\n\n`), 1).length, 1);
  t.equal(eventsOf(Buffer.from(`${'\r'.repeat(4_000_000)}data: x\r\r`), 65_536).length, 1);
  t.equal(eventsOf(Buffer.from(`${'data:\n'.repeat(100_000)}\n`), 1).length, 1);
  t.ok(performance.now() - begun < 20_000);
});

t.test('an event in half a million lines takes no more memory than in one', async (t) => {
  const feed = createEventParser('http://peer', 1024 * 1024, () => {});
  const before = process.memoryUsage();
  for (let i = 0; i < 500; i += 1) feed(Buffer.from('data:x\n'.repeat(1_000)));
  const after = process.memoryUsage();
  t.ok(after.heapUsed - before.heapUsed < 16 * 1024 * 1024, `${after.heapUsed - before.heapUsed} bytes of heap`);
});
