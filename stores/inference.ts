/** Counts of the requests and tokens of a worker, and its rate: written by `server/serving.ts`, read by metrics and `/info`. */
import type { TokenCount } from '../wire/infer.js';

/** How a request ended: answered, refused before the first byte, failed after it, or its client left. */
export type Outcome = 'answered' | 'refused' | 'failed' | 'left';

/** The period of the rate. */
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
  const dropOld = (nowMs: number) => {
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
        dropOld(nowMs);
        recent.push({ second: second(nowMs), tokens: completion });
      }
    },
    requests: () => ({ ...requests }),
    tokens: () => ({ ...total }),
    tokensPerS: (nowMs) => {
      dropOld(nowMs);
      return recent.reduce((sum, { tokens }) => sum + tokens, 0) / RATE_S;
    },
  };
}
