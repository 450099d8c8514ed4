/** A conversation on a terminal: a line in, an answer out as it comes, for as long as one likes. */
import { createInterface } from 'node:readline';
import { type ChatTurn, isRbeeError } from '../client/index.js';
import { colors } from './table.js';

export interface ConverseIo {
  stdin: NodeJS.ReadableStream;
  stdout: NodeJS.WritableStream;
  stderr: { write(text: string): unknown };
  color: boolean;
  /** What the conversation begins with, also after /clear: instructions to the model, or nothing. */
  begin: readonly ChatTurn[];
  /** Answers on the terminal and returns what was said; an abort ends it early, with what there was. */
  answer(turns: readonly ChatTurn[], signal: AbortSignal): Promise<string>;
  /** One sentence for people. */
  explain(error: unknown): string;
}

/** Of a conversation that grows for ever the end is sent. */
const TURNS_MAX = 200;

const HELP = [
  '/clear   begins anew: the model forgets what was said',
  '/help    shows this',
  '/quit    leaves, as Ctrl-D does, and Ctrl-C twice at an empty line',
  'Ctrl-C   stops an answer; what was said until then stays part of the conversation',
  'All else is said to the model.',
];

/** Resolves when the user leaves: /quit, Ctrl-D, Ctrl-C at an empty line twice, or the end of the input. */
export async function converse({ stdin, stdout, stderr, color, begin, answer, explain }: ConverseIo): Promise<void> {
  const c = colors(color);
  const say = (text: string) => stderr.write(`${c.dim(text)}\n`);
  const lines = createInterface({ input: stdin, output: stdout, terminal: true, prompt: c.bold('> ') });
  let turns: ChatTurn[] = [];
  let answering: AbortController | null = null;
  let leaving = false;

  lines.on('SIGINT', () => {
    if (answering) return answering.abort();
    if (leaving) return lines.close();
    leaving = true;
    stdout.write('\n');
    say('Ctrl-C again, or Ctrl-D, leaves');
    // What was begun at this line is thrown away, as a shell does.
    lines.write(null, { ctrl: true, name: 'e' });
    lines.write(null, { ctrl: true, name: 'u' });
    lines.prompt();
  });

  async function turn(content: string): Promise<void> {
    const mine = new AbortController();
    answering = mine;
    const asked: ChatTurn[] = [...turns, { role: 'user', content }];
    try {
      const said = await answer([...begin, ...asked.slice(-TURNS_MAX)], mine.signal);
      // Of a question that got no word for an answer the model need not know.
      if (said !== '') turns = [...asked, { role: 'assistant', content: said }];
      if (mine.signal.aborted) say('stopped');
    } catch (error) {
      if (!isRbeeError(error)) throw error;
      stderr.write(`${c.red(explain(error))}\n`);
    } finally {
      answering = null;
    }
  }

  say('Ctrl-C stops an answer, /clear begins anew, /help says more, Ctrl-D leaves');
  lines.prompt();
  for await (const line of lines) {
    leaving = false;
    const content = line.trim();
    const [, command] = /^\/([a-z]+)$/i.exec(content) ?? [];
    if (command === 'quit' || command === 'exit') break;
    if (command === 'clear') {
      turns = [];
      say('forgotten');
    } else if (command === 'help') for (const help of HELP) say(help);
    else if (command !== undefined) say(`there is no /${command}: /help lists what there is`);
    else if (content !== '') await turn(content);
    lines.prompt();
  }
  lines.close();
  stdout.write('\n');
}
