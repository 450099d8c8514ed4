/** The log on stderr: readable lines, coloured on a terminal only, or JSON lines for programs. */
import { type Logger, type LoggerOptions, pino, stdSerializers } from 'pino';
import pretty from 'pino-pretty';
import { clean } from './terminal-text.js';

export type { Logger };

export interface LoggerInput {
  level: string;
  format: 'text' | 'json';
}

const UNWRITTEN_BYTES_MAX = 1024 * 1024;

export function createLogger({ level, format }: LoggerInput): Logger {
  const options: LoggerOptions = {
    level,
    base: null,
    redact: ['token', '*.token', 'authorization', '*.authorization'],
    serializers: { err: errorOf },
    hooks: {
      // Many lines contain text from peers: it must neither start a line of its own nor control the terminal.
      logMethod(args, method) {
        method.apply(this, args.map((one: unknown) => (typeof one === 'string' ? clean(one) : one)) as typeof args);
      },
    },
  };
  if (format === 'json') {
    const destination = pino.destination({ dest: 2, sync: true, maxLength: UNWRITTEN_BYTES_MAX });
    // A full disk must not end the process: unwritten lines are tried again with the next one.
    destination.on('error', () => {});
    return pino(options, destination);
  }
  const stream = pretty({
    destination: 2,
    sync: true,
    colorize: process.stderr.isTTY === true && !process.env.NO_COLOR,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    ignore: 'pid,hostname',
  });
  return pino(options, stream);
}

/** An error with a message of one line, and the frames of its stack. */
function errorOf(error: Error): object {
  const { type, message, stack, ...more } = stdSerializers.err(error);
  const frames = (stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line));
  return {
    ...more,
    type,
    message: clean(message ?? ''),
    stack: [`${type}: ${clean(message ?? '')}`, ...frames].join('\n'),
  };
}
