import t from 'tap';
import { createEventBoundaryBuffer } from '../../../actors/net/event-boundary-buffer.js';

const STREAMS = [
  'data: a\n\ndata: b\n\n: c\n\ndata: [DONE]\n\n',
  'data: a\r\n\r\ndata: b\r\n\r\ndata: c\r\n\r\n',
  'data: a\r\rdata: b\r\r',
];

t.test('what is passed on ends with an event, however the stream is cut, and nothing is lost', async (t) => {
  for (const stream of STREAMS) {
    const bytes = Buffer.from(stream);
    for (let size = 1; size <= bytes.length; size += 1) {
      const events = createEventBoundaryBuffer();
      let passed = '';
      for (let at = 0; at < bytes.length; at += size) {
        passed += events.take(bytes.subarray(at, at + size))?.toString() ?? '';
        if (passed !== '' && !/(\n\n|\n\r\n|\r\r)$/.test(passed)) t.fail(`cut within an event: ${passed}`);
      }
      if (passed + (events.rest()?.toString() ?? '') !== stream) t.fail(`chunks of ${size} lose something`);
    }
  }
  t.pass('all cuts');
});

t.test('an incomplete event is held back, and passed on when the stream ends in order', async (t) => {
  const events = createEventBoundaryBuffer();
  t.equal(events.take(Buffer.from('data: a\n\ndata: b'))?.toString(), 'data: a\n\n');
  t.equal(events.take(Buffer.from('c')), null);
  t.equal(events.rest()?.toString(), 'data: bc');
  t.equal(events.rest(), null);
});

t.test('an event without an end is passed on in pieces', async (t) => {
  const events = createEventBoundaryBuffer();
  let passed = 0;
  for (let i = 0; i < 100; i += 1) passed += events.take(Buffer.alloc(4096, 'x'))?.length ?? 0;
  t.ok(passed > 300_000);
});

t.test('an event that comes byte by byte takes linear time', async (t) => {
  const events = createEventBoundaryBuffer();
  const byte = Buffer.from('x');
  const begun = performance.now();
  let passed = 0;
  for (let i = 0; i < 2_000_000; i += 1) passed += events.take(byte)?.length ?? 0;
  passed += events.rest()?.length ?? 0;
  t.equal(passed, 2_000_000);
  t.ok(performance.now() - begun < 10_000);
});
