/** One request to an engine, from its place in the queue to the last byte of the answer. */
import type { Socket } from 'node:net';
import type { Context } from 'koa';
import type { InferenceStats } from '../stores/inference.js';
import {
  type EngineFacts,
  type InferenceAnswer,
  type InferenceCall,
  InferenceRefused,
  type InferenceRoute,
  type TokenCount,
} from '../wire/infer.js';
import { Admission } from './admission.js';
import { CallerLeft, pour, ShuttingDown } from './pour.js';

export interface ServingInput {
  /** What the engine can do, once it is open. */
  facts: () => EngineFacts | null;
  /** Names under which its model may be asked for, beside those that the engine gives it. */
  aliases: string[];
  /** Why the model cannot answer now; null when it can. */
  unable: () => string | null;
  infer: (call: InferenceCall) => Promise<InferenceAnswer>;
  /** Told of an engine that was not there for a request. */
  onUnreachable: (reason: string) => void;
  /** Told when it begins to work, and when it has nothing to do any more. */
  onBusy: () => void;
  stats: InferenceStats;
  /** Requests at once; null: as the engine likes. */
  slots: number | null;
  queueMax: number;
  silence?: Silence;
  log: { warn: (fields: object, message: string) => void };
}

/** An engine that gives a request no sign of life: said after so many checks, and the request ended after so many more. */
export interface Silence {
  checkMs: number;
  saidChecks: number;
  endChecks: number;
}

/** A long prompt is read in silence, and a model that is being loaded too: 2 min and 10 min. */
const SILENCE: Silence = { checkMs: 5_000, saidChecks: 24, endChecks: 120 };

/** How an answer of the engine is told. */
export interface Say {
  whole: (ctx: Context, body: object, status: number) => void;
  lines: (lines: Extract<InferenceAnswer, { kind: 'stream' }>['lines']) => AsyncIterable<string | Uint8Array>;
}

export interface Serving {
  admission: Admission;
  /** @throws InferenceRefused 404 for a model that is not the engine's */
  checkModel: (body: { model?: string | null | undefined }) => void;
  /** Answers `ctx`. @throws InferenceRefused before the first byte; later the stream itself tells. */
  serve: (ctx: Context, route: InferenceRoute, body: Record<string, unknown>, say: Say) => Promise<void>;
  /** Which requests wait for an engine that has said nothing for minutes, in a sentence; null for none. */
  silent: () => string | null;
  /** Takes no more requests, and none of those that wait; those that run go on. */
  close: () => void;
  /** Ends every request with a word about it, and takes no more. */
  stop: () => void;
}

const NOT_READY_RETRY_S = 1;

export function createServing(input: ServingInput): Serving {
  const { stats, silence = SILENCE } = input;
  const admission = new Admission(input);
  const calls = new Set<ReturnType<typeof begin>>();
  let stopped = false;

  function checkModel({ model }: { model?: string | null | undefined }): void {
    if (model == null || model === '') return;
    const names = (input.facts()?.models ?? []).map(({ id }) => id);
    if (names.includes(model) || input.aliases.includes(model)) return;
    throw new InferenceRefused(
      404,
      `there is no model ${model.slice(0, 200)} here: this worker has ${(names.length > 0 ? names : input.aliases.slice(-1)).join(', ')}`,
      {
        param: 'model',
        code: 'model_not_found',
      },
    );
  }

  function checkReady(): void {
    if (stopped) throw new ShuttingDown();
    const why = input.unable();
    if (why === null) return;
    throw new InferenceRefused(503, why, { code: 'model_not_ready', retryAfterS: NOT_READY_RETRY_S });
  }

  async function serve(ctx: Context, route: InferenceRoute, body: Record<string, unknown>, say: Say): Promise<void> {
    checkModel(body);
    checkReady();
    const call = begin(ctx.req.socket);
    const { signal } = call;
    let leave = () => {};
    let failure: unknown;
    try {
      leave = await admission.enter(signal);
      call.entered = true;
      call.runs = true;
      const given = await input.infer({ route, body, signal, count: call.count });
      if (given.kind === 'whole') {
        signal.throwIfAborted();
        return say.whole(ctx, given.body, given.status);
      }
      ctx.respond = false;
      ctx.res.statusCode = 200;
      for (const [name, value] of STREAM_HEADERS) ctx.set(name, value);
      await pour({ lines: say.lines(given.lines), response: ctx.res, signal, onWait: call.wait });
    } catch (error) {
      failure = error;
      if (ctx.res.headersSent) return;
      if (error instanceof CallerLeft) {
        // Nobody is there to be told.
        ctx.respond = false;
        ctx.res.destroy();
        return;
      }
      ctx.respond = true;
      for (const [name] of STREAM_HEADERS) ctx.remove(name);
      throw error instanceof InferenceRefused ? error : engineFailed(error);
    } finally {
      leave();
      call.end();
      tell(route, failure, ctx.res.headersSent);
    }
  }

  /** One request, from now until its `end`: who asked may leave, and the engine may fall silent. */
  function begin(socket: Socket) {
    const controller = new AbortController();
    // Of a request that waits behind another on its connection only the socket tells that its caller is gone.
    const hungUp = () => controller.abort(new CallerLeft());
    if (socket.destroyed) hungUp();
    socket.once('close', hungUp);
    const call = {
      signal: controller.signal,
      abort: (reason: Error) => controller.abort(reason),
      entered: false,
      /** Whether it has its place, and waits for nobody but the engine. */
      runs: false,
      /** Checks since the engine gave a sign of life. */
      silent: 0,
      count: (tokens: TokenCount) => {
        call.silent = 0;
        stats.count(tokens, performance.now());
      },
      wait: (forWhom: 'engine' | 'reader') => {
        call.silent = 0;
        call.runs = forWhom === 'engine';
      },
      end: () => {
        socket.off('close', hungUp);
        calls.delete(call);
      },
    };
    calls.add(call);
    return call;
  }

  function tell(route: InferenceRoute, failure: unknown, begun: boolean): void {
    stats.ended(outcomeOf(failure, begun));
    if (failure === undefined || failure instanceof CallerLeft || failure instanceof ShuttingDown) return;
    if (failure instanceof InferenceRefused && failure.code === 'engine_unreachable')
      input.onUnreachable(failure.message);
    if (begun || !(failure instanceof InferenceRefused)) input.log.warn({ err: failure }, `${route} was broken off`);
  }

  /** Counted in checks, so that time in which this process did not run is excluded. */
  const timer = setInterval(() => {
    for (const call of calls) {
      if (!call.runs) continue;
      call.silent += 1;
      if (call.silent === silence.saidChecks) input.log.warn({}, silentWords() ?? '');
      if (call.silent === silence.endChecks) call.abort(new EngineSilent(secondsOf(silence.endChecks)));
    }
  }, silence.checkMs);
  timer.unref();

  const secondsOf = (checks: number) => Math.round((checks * silence.checkMs) / 1000);

  function silentWords(): string | null {
    const silent = [...calls].filter((call) => call.runs && call.silent >= silence.saidChecks);
    if (silent.length === 0) return null;
    const longest = Math.max(...silent.map((call) => call.silent));
    return `the engine has sent nothing for ${secondsOf(longest)} s to ${silent.length} of ${admission.running} requests; each is ended after ${secondsOf(silence.endChecks)} s`;
  }

  return {
    admission,
    checkModel,
    serve,
    silent: silentWords,
    close: () => {
      stopped = true;
      for (const call of calls) if (!call.entered) call.abort(new ShuttingDown());
    },
    stop: () => {
      stopped = true;
      clearInterval(timer);
      for (const { abort } of calls) abort(new ShuttingDown());
    },
  };
}

const STREAM_HEADERS = [
  ['Content-Type', 'text/event-stream'],
  ['Cache-Control', 'no-cache'],
  ['X-Accel-Buffering', 'no'],
] as const;

/** The engine took a request and sent nothing for too long: its place is wanted for others. */
class EngineSilent extends InferenceRefused {
  constructor(seconds: number) {
    super(504, `the engine sent nothing for ${seconds} s: the request was ended`, { code: 'engine_silent' });
  }
}

function outcomeOf(failure: unknown, begun: boolean) {
  if (failure === undefined) return 'answered';
  if (failure instanceof CallerLeft) return 'left';
  return begun || !(failure instanceof InferenceRefused) ? 'failed' : 'refused';
}

/** What the engine throws may hold paths and worse: the log has it, the caller has this. */
function engineFailed(error: unknown): InferenceRefused {
  return new InferenceRefused(502, 'the engine failed; the log of the worker says why', {
    code: 'engine_broken',
    cause: error,
  });
}
