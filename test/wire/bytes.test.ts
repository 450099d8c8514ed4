import t from 'tap';
import { createBytes } from '../../wire/bytes.js';

t.test('pieces become one, and what is dropped leaves the rest', async (t) => {
  const bytes = createBytes();
  const text = () => Buffer.from(bytes.view()).toString();
  for (const piece of ['', 'a', 'bc', 'x'.repeat(5_000), 'd']) bytes.push(Buffer.from(piece));
  t.equal(bytes.length, 5_004);
  t.equal(text(), `abc${'x'.repeat(5_000)}d`);
  bytes.drop(5_002);
  t.equal(text(), 'xd');
  bytes.push(Buffer.from('e'));
  t.equal(text(), 'xde');
  bytes.drop(3);
  t.equal(bytes.length, 0);
  t.equal(text(), '');
});

t.test('a million pieces of a byte take the memory of a million bytes', async (t) => {
  const bytes = createBytes();
  const piece = Buffer.from('x');
  for (let i = 0; i < 1_000_000; i += 1) bytes.push(piece);
  t.equal(bytes.length, 1_000_000);
  t.ok(bytes.view().buffer.byteLength <= 2 * 1024 * 1024);
});
