/** Text from a peer cannot look like a line of the log. Runs in another process, whose stderr is the log. */
import { spawnSync } from 'node:child_process';
import t from 'tap';

const logger = new URL('../../wiring/logger.js', import.meta.url).href;

function logged(format: 'text' | 'json'): string[] {
  const script = `
    import { createLogger } from ${JSON.stringify(logger)};
    const log = createLogger({ level: 'info', format: '${format}' });
    log.info('a queen answered: no\\n[00:00:00.000] INFO: forged \\u001b[2J\\u202e');
    log.info({ hive: 'a\\nb' }, 'one\\r\\ntwo');
    log.error({ err: new Error('broken\\n[00:00:00.000] INFO: forged') }, 'a request failed\\n');
  `;
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stderr.trimEnd().split('\n');
}

t.test('a line break or an escape sequence in what is logged makes no line of its own', async (t) => {
  const text = logged('text');
  t.equal(text.filter((line) => /^\[/.test(line)).length, 3, text.join('\n'));
  for (const char of ['\u001b', '\u202e', '\r']) t.notOk(text.join('').includes(char));
  t.match(text[0], /a queen answered: no .*forged/);
  const json = logged('json');
  t.equal(json.length, 3);
  const entries = json.map((line) => JSON.parse(line));
  t.match(entries[1], { hive: 'a\nb', msg: 'one  two' });
  t.match(entries[2], { err: { type: 'Error', message: 'broken [00:00:00.000] INFO: forged', stack: /\n {4}at / } });
});
