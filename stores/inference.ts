/** What a worker has answered so far, and how fast: fed by its endpoints, read by its metrics. */
import type { TokenCount } from '../wire/infer.js';

/** How requests ended: answered whole, refused before the first byte, broken off after it, or the caller left. */
export type Outcome = 'answered' | 'refused' | 'failed' | 'left';

/** The rate is that of the last so many seconds. */
const RATE_S = 10;

export interface InferenceStats {
  ended: (outcome: Outcome) => void;
  /** @param nowMs on a monotonic clock */
  count: (tokens: TokenCount, nowMs: number) => void;
  requests: () => Record<Outcome, number>;
  tokens: () => Required<TokenCount>;
  /** Tokens generated a second, all requests together. */
  tokensPerS: (nowMs: number) => number;
}

export function createInferenceStats(): InferenceStats {
  const requests: Record<Outcome, number> = { answered: 0, refused: 0, failed: 0, left: 0 };
  const total = { prompt: 0, completion: 0, cached: 0 };
  let recent: { second: number; tokens: number }[] = [];
  const second = (nowMs: number) => Math.floor(nowMs / 1000);
  const forget = (nowMs: number) => {
    recent = recent.filter((one) => one.second > second(nowMs) - RATE_S);
  };
  return {
    ended: (outcome) => {
      requests[outcome] += 1;
    },
    count: ({ prompt = 0, completion = 0, cached = 0 }, nowMs) => {
      total.prompt += prompt;
      total.completion += completion;
      total.cached += cached;
      const last = recent.at(-1);
      if (last?.second === second(nowMs)) last.tokens += completion;
      else {
        forget(nowMs);
        recent.push({ second: second(nowMs), tokens: completion });
      }
    },
    requests: () => ({ ...requests }),
    tokens: () => ({ ...total }),
    tokensPerS: (nowMs) => {
      forget(nowMs);
      return recent.reduce((sum, { tokens }) => sum + tokens, 0) / RATE_S;
    },
  };
}
