/** `rbee watch` on a terminal: the table, redrawn in place. */
import type { ReadStream, WriteStream } from 'node:tty';
import type { LinkDetail, LinkState } from '../client/index.js';
import { render } from './live-table.js';
import { applyEvents, emptyView, type LiveView, type WatchEvent } from './live-view.js';
import type { WatchOutput } from './watch-output.js';

/** At most four pictures a second. */
const FRAME_MS = 250;
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const CLEAR = '\x1b[2J\x1b[H';

export interface WatchScreenInput {
  url: string;
  stdin: ReadStream;
  stdout: WriteStream;
  color: boolean;
  /** Called when q or Ctrl-C is pressed. */
  leave: () => void;
}

/** The cursor is shown again however this ends. */
export class WatchScreen implements WatchOutput {
  readonly wantsConflicts = true;
  readonly #input: WatchScreenInput;
  readonly #frames: NodeJS.Timeout;
  #view: LiveView;
  #pending: WatchEvent[] = [];
  #drawn: string[] = [];
  /** Lines between the top of the picture and the cursor. */
  #above = 0;

  constructor(input: WatchScreenInput) {
    const { url, stdin, stdout } = input;
    this.#input = input;
    this.#view = emptyView(url);
    stdout.write(HIDE_CURSOR);
    process.once('exit', this.#showCursor);
    stdout.on('resize', this.#redraw);
    if (stdin.isTTY) {
      stdin.setRawMode(true);
      stdin.on('data', this.#onKey);
    }
    this.#frames = setInterval(() => this.#draw(), FRAME_MS);
  }

  on(event: WatchEvent): void {
    this.#pending.push(event);
  }

  link(state: LinkState, { error }: LinkDetail): void {
    this.#pending.push({ event: 'link', data: { state, reason: error?.message ?? null } });
  }

  close(): void {
    const { stdin, stdout } = this.#input;
    clearInterval(this.#frames);
    this.#draw();
    stdout.off('resize', this.#redraw);
    if (stdin.isTTY) {
      stdin.off('data', this.#onKey);
      stdin.setRawMode(false);
      stdin.pause();
    }
    process.off('exit', this.#showCursor);
    this.#showCursor();
  }

  #draw(): void {
    const { stdout, color } = this.#input;
    const nowMs = performance.now();
    if (this.#pending.length > 0) this.#view = applyEvents(this.#view, this.#pending, nowMs);
    this.#pending = [];
    // The last line of the terminal stays free for the cursor, so that nothing scrolls.
    const height = Math.max(1, (stdout.rows || 24) - 1);
    const next = render(this.#view, { width: stdout.columns || 80, height, nowMs, color });
    if (next.length === this.#drawn.length && next.every((line, i) => line === this.#drawn[i])) return;
    const up = this.#above > 0 ? `\x1b[${this.#above}A` : '';
    stdout.write(`${up}\r${next.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`);
    this.#drawn = next;
    this.#above = next.length;
  }

  /** A terminal that is resized wraps its lines in another way, so their number is unknown. */
  readonly #redraw = (): void => {
    this.#input.stdout.write(CLEAR);
    this.#drawn = [];
    this.#above = 0;
    this.#draw();
  };

  readonly #showCursor = (): void => void this.#input.stdout.write(SHOW_CURSOR);

  readonly #onKey = (keys: Buffer): void => {
    const text = keys.toString('latin1');
    if (text === 'q' || text === 'Q' || text.includes('\x03')) this.#input.leave();
  };
}
