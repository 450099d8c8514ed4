/** `rbee watch`: the live table on a terminal, one line an event anywhere else. */
import type { ReadStream, WriteStream } from 'node:tty';
import { type Client, type LinkDetail, type LinkState, type RbeeError, RbeeUnreachable } from '../client/index.js';
import type { HiveHeartbeat, QueenHeartbeat } from '../wire/heartbeat.js';
import type { WorkerStats } from '../wire/worker.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import { gpuSummary, nodeCells } from './hive-cells.js';
import { applyEvents, emptyModel, render, type WatchEvent } from './live-table.js';

/** At most four pictures a second. */
const FRAME_MS = 250;
/** Conflicts are not in the stream; they are rare, and asked for this often. */
const CONFLICTS_MS = 15_000;

export interface WatchIo {
  stdin: ReadStream;
  stdout: WriteStream;
  stderr: { write(text: string): unknown };
  json: boolean;
  color: boolean;
}

/** Resolves when the user leaves (q, Ctrl-C, SIGTERM, a closed pipe). Rejects when the first answer is a no for good. */
export async function watch(client: Client, io: WatchIo): Promise<void> {
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  const ends = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of ends) process.once(signal, leave);
  // Whoever read our lines (`| head`) is gone.
  io.stdout.on('error', leave);
  process.stderr.on('error', leave);
  const out = io.stdout.isTTY && !io.json ? screen(client, io, leave) : lines(io);
  let opened = false;
  let refused: RbeeError | null = null;
  let asking: ReturnType<typeof setInterval> | undefined;
  const askConflicts = async () => {
    // A picture without conflicts is better than none: what fails here, the stream itself says.
    const answer = await client.hives().catch(() => null);
    if (!answer || leaving.signal.aborted) return;
    out.on({ event: 'conflicts', data: answer.conflicts });
    out.on({ event: 'unreachable', data: answer.unreachable ?? [] });
  };
  try {
    await client.followHeartbeats({
      signal: leaving.signal,
      onEvent: (event) => out.on(event),
      onState: (state, detail) => {
        clearInterval(asking);
        if (detail.error && !opened && !(detail.error instanceof RbeeUnreachable)) {
          // A no to the very first request is a wrong address or token; later it may be a queen that changes.
          refused = detail.error;
          leave();
          return;
        }
        out.link(state, detail);
        if (state !== 'open') return;
        opened = true;
        if (!out.wantsConflicts) return;
        void askConflicts();
        asking = setInterval(() => void askConflicts(), CONFLICTS_MS);
      },
    });
  } finally {
    clearInterval(asking);
    for (const signal of ends) process.off(signal, leave);
    out.close();
  }
  if (refused) throw refused;
}

interface Output {
  wantsConflicts: boolean;
  on(event: WatchEvent): void;
  link(state: LinkState, detail: LinkDetail): void;
  close(): void;
}

/** Redraws in place. The cursor comes back however this ends. */
function screen(client: Client, { stdin, stdout, color }: WatchIo, leave: () => void): Output {
  let model = emptyModel(client.url);
  let pending: WatchEvent[] = [];
  let drawn: string[] = [];
  let above = 0;
  const draw = () => {
    const nowMs = performance.now();
    if (pending.length > 0) model = applyEvents(model, pending, nowMs);
    pending = [];
    // The last line of the terminal stays free for the cursor, so that nothing scrolls.
    const height = Math.max(1, (stdout.rows || 24) - 1);
    const next = render(model, { width: stdout.columns || 80, height, nowMs, color });
    if (next.length === drawn.length && next.every((line, i) => line === drawn[i])) return;
    const up = above > 0 ? `\x1b[${above}A` : '';
    stdout.write(`${up}\r${next.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`);
    drawn = next;
    above = next.length;
  };
  const resized = () => {
    // A terminal rewraps what it shows, so nobody knows how many lines that is now.
    stdout.write('\x1b[2J\x1b[H');
    drawn = [];
    above = 0;
    draw();
  };
  const showCursor = () => stdout.write('\x1b[?25h');
  const onKey = (keys: Buffer) => {
    const text = keys.toString('latin1');
    if (text === 'q' || text === 'Q' || text.includes('\x03')) leave();
  };
  stdout.write('\x1b[?25l');
  process.once('exit', showCursor);
  stdout.on('resize', resized);
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on('data', onKey);
  }
  const frames = setInterval(draw, FRAME_MS);
  return {
    wantsConflicts: true,
    on: (event) => pending.push(event),
    link: (state, { error }) => pending.push({ event: 'link', data: { state, reason: error?.message ?? null } }),
    close() {
      clearInterval(frames);
      draw();
      stdout.off('resize', resized);
      if (stdin.isTTY) {
        stdin.off('data', onKey);
        stdin.setRawMode(false);
        stdin.pause();
      }
      process.off('exit', showCursor);
      showCursor();
    },
  };
}

/** What happens goes to stdout, what happens to the connection to stderr. */
function lines({ stdout, stderr, json }: WatchIo): Output {
  return {
    wantsConflicts: false,
    on: (event) => stdout.write(`${json ? jsonLine(event) : describe(event)}\n`),
    link(state, { error, retryInMs }) {
      if (state !== 'waiting') return;
      const why = error ? `${clean(error.message)}; ` : '';
      stderr.write(`queen away, reconnecting… ${why}next attempt in ${retryInMs} ms\n`);
    },
    close() {},
  };
}

function describe(event: WatchEvent): string {
  if (event.event === 'heartbeat') return clean(describeHeartbeat(event.data));
  if (event.event === 'lagged') return `lagged: ${event.data.missed} events skipped, this reader was too slow`;
  return event.event === 'bye' ? clean(`bye: ${event.data.reason}`) : event.event;
}

function describeHeartbeat(data: QueenHeartbeat | HiveHeartbeat): string {
  if (data.type === 'queen') {
    const workers = `${data.workers_online} online, ${data.workers_available} available`;
    return `${data.timestamp} swarm: hives ${data.hives_online} online, ${data.hives_available} available; workers ${workers}`;
  }
  if (data.type === 'hive_state') {
    const state = data.stale ? `${data.state}, stale` : data.state;
    return `${data.since} hive ${data.hive_id}: ${state}${data.reason ? `: ${data.reason}` : ''} (${data.hive_url})`;
  }
  if (data.type === 'keeper') {
    return `${data.timestamp} keeper: workers ${data.workers.length}, queens ${data.queens.length}`;
  }
  const node = data.node ?? null;
  const [cpu, ram] = nodeCells(node);
  const [util, vram, temp] = gpuSummary(node);
  const at = (data.type === 'telemetry' ? data.timestamp : data.received_at) ?? '';
  return `${at} telemetry ${data.hive_id}: cpu ${cpu}, ram ${ram}, gpu ${util} ${vram} ${temp}, workers ${data.workers.length}${workersIn(data.workers)}`;
}

const WORKERS_TOLD = 8;

/** `: tiny ready, llama crashed`. */
function workersIn(workers: readonly WorkerStats[]): string {
  const said = workers.filter(({ model, status }) => model !== undefined || status !== undefined);
  if (said.length === 0) return '';
  const told = said
    .slice(0, WORKERS_TOLD)
    .map(({ worker_id, model, status }) => `${model ?? worker_id} ${status ?? ''}`.trim());
  return `: ${told.join(', ')}${said.length > WORKERS_TOLD ? ' …' : ''}`;
}
