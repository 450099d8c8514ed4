/** The telemetry stream of a hive: each event is serialised once, and once more for queens that take no nulls. */
import type { Context } from 'koa';
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import { Broadcast, type ReaderInput } from './http/sse/broadcast.js';
import { frame } from './http/sse/frame.js';
import type { ReaderHandle } from './http/sse/reader.js';

/** A reader that is further behind loses the oldest events (docs/protocol.md, section 5). */
const FRAMES_MAX = 100;

export class HiveStream {
  /** For all readers, and for queens of the first implementation. */
  readonly broadcasts: [Broadcast, Broadcast];
  readonly #readers = new Map<string, ReaderHandle>();
  #heartbeat: HiveHeartbeat | null = null;
  #frame: Buffer | null = null;
  #opened = 0;

  constructor() {
    this.broadcasts = [
      broadcast(() => this.#frame),
      broadcast(() => (this.#heartbeat === null ? null : olderFrame(this.#heartbeat))),
    ];
  }

  publish(heartbeat: HiveHeartbeat): void {
    const [stream, olderStream] = this.broadcasts;
    this.#heartbeat = heartbeat;
    this.#frame = frame('heartbeat', JSON.stringify(heartbeat));
    stream.push(this.#frame);
    if (olderStream.readers.size > 0) olderStream.push(olderFrame(heartbeat));
  }

  nextReaderId(): string {
    this.#opened += 1;
    return `reader-${this.#opened}`;
  }

  /** Opens a stream that `closeReaders` can close by its id. */
  async open(ctx: Context, input: { readerId: string; older: boolean } & Required<ReaderInput>): Promise<void> {
    const { readerId, onOpen, onClose } = input;
    await this.broadcasts[input.older ? 1 : 0].open(ctx, {
      onOpen: (reader) => {
        this.#readers.set(readerId, reader);
        onOpen(reader);
      },
      onClose: (reason) => {
        this.#readers.delete(readerId);
        onClose(reason);
      },
    });
  }

  /** Opens a stream for a reader that is not reported to the hive's machine. */
  async openUntracked(ctx: Context): Promise<void> {
    await this.broadcasts[0].open(ctx);
  }

  closeReaders(readerIds: string[], reason: string): void {
    for (const id of readerIds) this.#readers.get(id)?.close(reason);
  }
}

function broadcast(latest: () => Buffer | null): Broadcast {
  return new Broadcast({
    framesMax: FRAMES_MAX,
    coalesceMs: 0,
    snapshot: () => {
      const first = latest();
      return first === null ? [] : [first];
    },
    snapshotAfterLag: false,
  });
}

/** A queen of the first implementation drops a worker whose GPU values are null, so it gets zeros (docs/protocol.md, section 5.1). */
function olderFrame(heartbeat: HiveHeartbeat): Buffer {
  const workers = heartbeat.workers.map((worker) => ({
    ...worker,
    gpu_util_pct: worker.gpu_util_pct ?? 0,
    vram_mb: worker.vram_mb ?? 0,
    total_vram_mb: worker.total_vram_mb ?? 0,
  }));
  return frame('heartbeat', JSON.stringify({ ...heartbeat, workers }));
}
