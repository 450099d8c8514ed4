/** The metrics of a worker. */
import type { InferenceStats } from '../stores/inference.js';
import type { Admission } from './admission.js';
import type { Metric } from './http/metrics.js';

interface WorkerMetricsInput {
  stats: InferenceStats;
  admission: Admission;
  ready: () => boolean;
}

export function workerMetrics({ stats, admission, ready }: WorkerMetricsInput): Metric[] {
  const gauge = (name: string, help: string, read: () => number): Metric => ({ name, help, type: 'gauge', read });
  const counter = (name: string, help: string, read: () => number): Metric => ({ name, help, type: 'counter', read });
  return [
    gauge('rbee_worker_ready', '1 when the model can answer.', () => (ready() ? 1 : 0)),
    gauge('rbee_worker_requests_running', 'Requests at the engine.', () => admission.running),
    gauge('rbee_worker_requests_waiting', 'Requests that wait for a slot.', () => admission.waiting),
    {
      name: 'rbee_worker_requests_total',
      help: 'Requests by how they ended; left when the client closed its connection first.',
      type: 'counter',
      label: 'outcome',
      read: stats.requests,
    },
    counter(
      'rbee_worker_prompt_tokens_total',
      'Tokens of prompts, as far as the engine reports them.',
      () => stats.tokens().prompt,
    ),
    counter(
      'rbee_worker_cached_prompt_tokens_total',
      'Tokens of prompts that were reused from an earlier request, as far as the engine reports them.',
      () => stats.tokens().cached,
    ),
    counter(
      'rbee_worker_completion_tokens_total',
      'Tokens generated, as far as the engine reports them.',
      () => stats.tokens().completion,
    ),
    gauge('rbee_worker_tokens_per_s', 'Tokens generated a second, over the last 10 s.', () =>
      stats.tokensPerS(performance.now()),
    ),
  ];
}
