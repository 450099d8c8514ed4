/** What a worker requires of an engine. "Adding an engine" in docs/system.md explains how to write one. */
import type { EngineFacts, InferenceAnswer, InferenceCall } from '../../../wire/infer.js';

export interface Engine {
  /** `implementation` in the worker's `/info`. */
  readonly implementation: string;
  /** Makes it able to answer; called again after a failure that is not permanent. @throws EngineFailed */
  open(signal: AbortSignal): Promise<EngineFacts>;
  /** What `open` is doing. Shown without a token, so it contains no paths and no secrets. */
  progress(): Progress;
  /** Checks that it can still answer. @throws EngineFailed. Null for an engine inside this process. */
  readonly probe: ((signal: AbortSignal) => Promise<void>) | null;
  /**
   * Answers one request, of at most `--slots` at once. Resolves before the first token, as soon as it is certain that there
   * will be an answer. @throws InferenceRefused
   */
  answer(call: InferenceCall): Promise<InferenceAnswer>;
  /** Releases what it holds. Called after all calls have ended. */
  close(): Promise<void>;
}

export interface Progress {
  doing: string;
  /** 0 to 100; null where it is unknown. */
  pct: number | null;
}

/** An engine cannot be opened, or no longer answers; the message names the remedy. */
export class EngineFailed extends Error {
  override name = 'EngineFailed';
  /** A retry cannot help. */
  readonly permanent: boolean;

  constructor(message: string, { permanent = false, cause }: { permanent?: boolean; cause?: unknown } = {}) {
    super(message, { cause });
    this.permanent = permanent;
  }
}

export const permanentFailure = (message: string, cause?: unknown) =>
  new EngineFailed(message, { permanent: true, cause });

/** The input that all engines share. */
export interface EngineInput {
  /** As the user gave it: a path, an `hf:` URI, or the name of a model at the engine. */
  model: string;
  log: EngineLog;
}

export interface EngineLog {
  debug: (message: string) => void;
  info: (message: string) => void;
  warn: (message: string) => void;
}
