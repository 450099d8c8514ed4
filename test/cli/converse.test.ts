/** A conversation, key by key, on streams instead of a terminal. */
import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { converse } from '../../cli/converse.js';
import { type ChatTurn, RbeeProblem } from '../../client/index.js';
import { waitFor } from '../helpers/wait.js';

function conversation(t: Test, answer: (turns: readonly ChatTurn[], signal: AbortSignal) => Promise<string>) {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const output = { stderr: '', stdout: '' };
  stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  const questions: (readonly ChatTurn[])[] = [];
  let over = false;
  const ended = converse({
    stdin,
    stdout,
    stderr: {
      write: (text) => {
        output.stderr += text;
      },
    },
    color: false,
    begin: [{ role: 'system', content: 'be kind' }],
    answer: (turns, signal) => {
      questions.push(turns);
      return answer(turns, signal);
    },
    explain: (error) => (error as RbeeProblem).detail,
  }).then(() => {
    over = true;
  });
  t.teardown(() => stdin.end());
  return { keys: (text: string) => stdin.write(text), questions, output, ended, over: () => over };
}

const CTRL_C = '\x03';
const CTRL_D = '\x04';
const contents = (turns: readonly ChatTurn[] | undefined) => turns?.map(({ content }) => content);

t.test('a conversation is kept until it is cleared, and Ctrl-D leaves', async (t) => {
  const { keys, questions, output, ended } = conversation(t, async (turns) => `answer ${turns.length}`);
  keys('one\r');
  await waitFor('the first', () => questions.length === 1);
  keys('\r  two \r');
  await waitFor('the second', () => questions.length === 2);
  t.same(contents(questions[1]), ['be kind', 'one', 'answer 2', 'two']);
  keys('/clear\r');
  await waitFor('a new conversation', () => output.stderr.includes('starting over'));
  keys('three\r');
  await waitFor('the third', () => questions.length === 3);
  t.same(contents(questions[2]), ['be kind', 'three']);
  keys(CTRL_D);
  await waitFor('the end', () => ended.then(() => true));
});

t.test('/help lists the commands, an unknown one is refused, and /quit leaves', async (t) => {
  const { keys, questions, output, ended } = conversation(t, async () => 'yes');
  keys('/help\r');
  await waitFor('the help', () => /\/clear .*\n\/help .*\n\/quit /.test(output.stderr));
  keys('/hepl\r');
  await waitFor('the refusal', () => output.stderr.includes('there is no command /hepl: /help lists them'));
  keys('/etc/passwd is a file?\r');
  await waitFor('the question', () => questions.length === 1);
  t.same(contents(questions[0]), ['be kind', '/etc/passwd is a file?']);
  keys('/quit\r');
  await waitFor('the end', () => ended.then(() => true));
});

t.test('Ctrl-C stops the answer and keeps its text; a second one leaves', async (t) => {
  const { keys, questions, output, ended, over } = conversation(
    t,
    (_, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('half an'), { once: true })),
  );
  keys('one\r');
  await waitFor('the question', () => questions.length === 1);
  keys(CTRL_C);
  await waitFor('it to stop', () => output.stderr.includes('stopped'));
  keys(`thrown away${CTRL_C}`);
  await waitFor('the hint', () => output.stderr.includes('Ctrl-C again, or Ctrl-D, leaves'));
  t.notOk(over());
  keys('two\r');
  await waitFor('the next question', () => questions.length === 2);
  t.same(contents(questions[1]), ['be kind', 'one', 'half an', 'two']);
  keys(CTRL_C);
  await waitFor('it to stop again', () => output.stderr.split('stopped').length === 3);
  keys(CTRL_C);
  await waitFor('the second hint', () => output.stderr.split('Ctrl-C again').length === 3);
  keys(CTRL_C);
  await waitFor('the end', () => ended.then(() => true));
});

t.test('a refusal is printed, and the question is not kept', async (t) => {
  let refuse = true;
  const { keys, questions, output } = conversation(t, async () => {
    if (refuse) throw new RbeeProblem('http://q', 503, 'no', 'no worker can answer');
    return 'yes';
  });
  keys('one\r');
  await waitFor('the refusal', () => output.stderr.includes('no worker can answer\n'));
  refuse = false;
  keys('two\r');
  await waitFor('the second', () => questions.length === 2);
  t.same(contents(questions[1]), ['be kind', 'two']);
});
