/** A conversation on a terminal: a line in, an answer out while it is generated, until the user leaves. */
import { createInterface } from 'node:readline';
import { type ChatTurn, isRbeeError } from '../client/index.js';
import { colors } from './table.js';

export interface ConverseIo {
  stdin: NodeJS.ReadableStream;
  stdout: NodeJS.WritableStream;
  stderr: { write(text: string): unknown };
  color: boolean;
  /** The first turns, also after /clear: instructions to the model, or none. */
  begin: readonly ChatTurn[];
  /** Prints the answer and returns its text; an abort ends it early, with the text so far. */
  answer(turns: readonly ChatTurn[], signal: AbortSignal): Promise<string>;
  /** One sentence for people. */
  explain(error: unknown): string;
}

/** Turns sent at most, the latest. */
const TURNS_MAX = 200;

const HELP = [
  '/clear   starts over: earlier messages are not sent any more',
  '/help    shows this',
  '/quit    leaves, as Ctrl-D does, and Ctrl-C twice at an empty line',
  'Ctrl-C   stops an answer; its text so far stays part of the conversation',
  'Anything else is sent to the model.',
];

/** Resolves when the user leaves: /quit, Ctrl-D, Ctrl-C at an empty line twice, or the end of the input. */
export async function converse({ stdin, stdout, stderr, color, begin, answer, explain }: ConverseIo): Promise<void> {
  const c = colors(color);
  const note = (text: string) => stderr.write(`${c.dim(text)}\n`);
  const lines = createInterface({ input: stdin, output: stdout, terminal: true, prompt: c.bold('> ') });
  let turns: ChatTurn[] = [];
  let answering: AbortController | null = null;
  let leaving = false;

  lines.on('SIGINT', () => {
    if (answering) return answering.abort();
    if (leaving) return lines.close();
    leaving = true;
    stdout.write('\n');
    note('Ctrl-C again, or Ctrl-D, leaves');
    // Clear the line, as a shell does.
    lines.write(null, { ctrl: true, name: 'e' });
    lines.write(null, { ctrl: true, name: 'u' });
    lines.prompt();
  });

  async function turn(content: string): Promise<void> {
    const stopping = new AbortController();
    answering = stopping;
    const withQuestion: ChatTurn[] = [...turns, { role: 'user', content }];
    try {
      const text = await answer([...begin, ...withQuestion.slice(-TURNS_MAX)], stopping.signal);
      // A question without an answer is not kept.
      if (text !== '') turns = [...withQuestion, { role: 'assistant', content: text }];
      if (stopping.signal.aborted) note('stopped');
    } catch (error) {
      if (!isRbeeError(error)) throw error;
      stderr.write(`${c.red(explain(error))}\n`);
    } finally {
      answering = null;
    }
  }

  note('Ctrl-C stops an answer, /clear starts over, /help shows all commands, Ctrl-D leaves');
  lines.prompt();
  for await (const line of lines) {
    leaving = false;
    const content = line.trim();
    const [, command] = /^\/([a-z]+)$/i.exec(content) ?? [];
    if (command === 'quit' || command === 'exit') break;
    if (command === 'clear') {
      turns = [];
      note('starting over');
    } else if (command === 'help') for (const help of HELP) note(help);
    else if (command !== undefined) note(`there is no command /${command}: /help lists them`);
    else if (content !== '') await turn(content);
    lines.prompt();
  }
  lines.close();
  stdout.write('\n');
}
