/** The sequences of a context: which one answers a prompt, and how the prompt is read without delaying other answers. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { InferenceCall } from '../../../wire/infer.js';

/** Shorter prefixes are shared by chance, or because of the template: no reason to choose a sequence. */
const PREFIX_TOKENS_MIN = 16;

/**
 * A prompt is read in slices of about `ms`; between two of them other answers get their next token, and an abort takes
 * effect. A higher value reads long prompts slightly faster and delays the other answers more.
 */
const SLICE = { ms: 200, tokensFirst: 32, tokensMin: 16, tokensMax: 512 } as const;

export interface Sequences {
  /** Takes the free one that already holds most of this prompt, else the one that has been free for longest. */
  take: (prompt: Token[]) => LlamaContextSequence | undefined;
  release: (sequence: LlamaContextSequence) => void;
  /** Reads all but the last token of a prompt into a sequence. @throws the signal's reason */
  read: (
    sequence: LlamaContextSequence,
    prompt: Token[],
    call: Pick<InferenceCall, 'signal' | 'count'>,
  ) => Promise<void>;
}

export function createSequences(all: LlamaContextSequence[]): Sequences {
  /** In the order in which they became free. */
  const free = [...all];
  let size: number = SLICE.tokensFirst;

  return {
    take: (prompt) => {
      const held = free.map((sequence) => sequence.compareContextTokens(prompt).firstDifferentIndex);
      const most = Math.max(...held);
      const chosen = most < PREFIX_TOKENS_MIN ? 0 : held.indexOf(most);
      return free.splice(chosen, 1)[0];
    },
    release: (sequence) => void free.push(sequence),
    read: async (sequence, prompt, { signal, count }) => {
      const last = prompt.length - 1;
      signal.throwIfAborted();
      await keep(sequence, Math.min(sequence.compareContextTokens(prompt).firstDifferentIndex, last));
      count({ cached: sequence.nextTokenIndex });
      for (let at = sequence.nextTokenIndex; at < last; ) {
        signal.throwIfAborted();
        const slice = prompt.slice(at, Math.min(at + size, last));
        const startedAt = performance.now();
        await sequence.evaluateWithoutGeneratingNewTokens(slice);
        if (slice.length === size) size = nextSize(size, performance.now() - startedAt);
        at += slice.length;
        // Shows that the engine is not silent.
        count({});
      }
    },
  };
}

/** The number of tokens that takes about `SLICE.ms`; at most halved or doubled, so that one slow slice has little effect. */
export function nextSize(tokens: number, tookMs: number): number {
  const wanted = tookMs <= 0 ? SLICE.tokensMax : Math.round((tokens * SLICE.ms) / tookMs);
  return Math.max(SLICE.tokensMin, Math.ceil(tokens / 2), Math.min(SLICE.tokensMax, tokens * 2, wanted));
}

/**
 * Drops everything after the first `count` tokens. Where a sliding window no longer holds the tokens before, the library
 * would read all of them again in one slice: then the sequence returns to its last checkpoint, or starts empty.
 */
async function keep(sequence: LlamaContextSequence, count: number): Promise<void> {
  const end = sequence.nextTokenIndex;
  if (count >= end) return;
  const checkpoint = sequence.lastCheckpointIndex;
  if (count > sequence.stateCellsStartIndex) await sequence.eraseContextTokenRanges([{ start: count, end }]);
  else if (checkpoint > 0 && checkpoint < count) {
    await sequence.eraseContextTokenRanges([{ start: checkpoint + 1, end }]);
  } else await sequence.clearHistory();
}
