/** Logs on stderr: one readable line each, coloured on a terminal only; JSON lines for programs. */
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
      // Words of peers are in many lines: none may begin a line of its own, or speak to the terminal.
      logMethod(args, method) {
        method.apply(this, args.map((one: unknown) => (typeof one === 'string' ? clean(one) : one)) as typeof args);
      },
    },
  };
  if (format === 'json') {
    const destination = pino.destination({ dest: 2, sync: true, maxLength: UNWRITTEN_BYTES_MAX });
    // A full disk costs lines of a log, and not the process: what is not written is tried again with the next line.
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

/** Of a stack the frames only, behind a message that is one line. */
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
