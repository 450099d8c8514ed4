/** What `rbee watch` writes to: a table on a terminal, or lines. */
import type { ReadStream, WriteStream } from 'node:tty';
import type { LinkDetail, LinkState } from '../client/index.js';
import type { WatchEvent } from './live-view.js';

export interface WatchIo {
  stdin: ReadStream;
  stdout: WriteStream;
  stderr: { write(text: string): unknown };
  json: boolean;
  color: boolean;
}

export interface WatchOutput {
  wantsConflicts: boolean;
  on(event: WatchEvent): void;
  link(state: LinkState, detail: LinkDetail): void;
  close(): void;
}
