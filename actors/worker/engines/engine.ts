/** What a worker needs of an engine. "Adding an engine" in docs/system.md says how to write one. */
import type { EngineFacts, InferenceAnswer, InferenceCall } from '../../../wire/infer.js';

export interface Engine {
  /** As others call it: `implementation` in what a worker says of itself. */
  readonly implementation: string;
  /** Makes it able to answer; called again after a failure that is not permanent. @throws EngineFailed */
  open(signal: AbortSignal): Promise<EngineFacts>;
  /** What `open` is doing, in words that may be shown to anybody: no paths, no secrets. */
  progress(): Progress;
  /** Whether it still can. @throws EngineFailed. Null for one that lives and dies with this process. */
  readonly probe: ((signal: AbortSignal) => Promise<void>) | null;
  /**
   * Answers one request; there are never more at once than `--slots`. Resolves before the first token, as soon as
   * it is sure that it will answer. @throws InferenceRefused
   */
  answer(call: InferenceCall): Promise<InferenceAnswer>;
  /** Ends in order what it holds; no call is running any more. */
  close(): Promise<void>;
}

export interface Progress {
  doing: string;
  /** 0 to 100; null where it cannot be told. */
  pct: number | null;
}

/** An engine cannot be opened, or is not there any more; the message says what to do. */
export class EngineFailed extends Error {
  override name = 'EngineFailed';
  /** Whether trying again cannot help. */
  readonly permanent: boolean;

  constructor(message: string, { permanent = false, cause }: { permanent?: boolean; cause?: unknown } = {}) {
    super(message, { cause });
    this.permanent = permanent;
  }
}

/** What every engine is told. */
export interface EngineInput {
  /** As the user gave it: a path, an `hf:` URI, or a name at the engine. */
  model: string;
  log: { debug: (message: string) => void; info: (message: string) => void; warn: (message: string) => void };
}
