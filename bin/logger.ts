/** Logs on stderr: one readable line each, coloured on a terminal only; JSON lines for programs. */
import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type { Logger };

export interface LoggerInput {
  level: string;
  format: 'text' | 'json';
}

const UNWRITTEN_BYTES_MAX = 1024 * 1024;

export function createLogger({ level, format }: LoggerInput): Logger {
  const options = { level, base: null, redact: ['token', '*.token', 'authorization', '*.authorization'] };
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
