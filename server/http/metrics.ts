/** `GET /metrics` in Prometheus' text format. The library is loaded at the first request: most processes get none. */
import type { Metric as PromMetric, Registry } from 'prom-client';

export type Metric = NumberMetric | HistogramMetric;

/** Counts by range, with the sum and the count of all. */
interface HistogramMetric {
  name: string;
  help: string;
  type: 'histogram';
  /** The upper end of each range. */
  bounds: readonly number[];
  /** `counts[i]`: above the bound before and up to `bounds[i]`. */
  read: () => { counts: number[]; sum: number; count: number };
}

/** One number, read at each scrape. Its name ends with its unit. */
export interface NumberMetric {
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  /** A number, or one for each value of `label`. */
  read: () => number | Record<string, number>;
  label?: string;
}

export function createMetrics(metrics: Metric[]): { text: () => Promise<string>; contentType: string } {
  let registry: Promise<Registry> | undefined;
  return {
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    text: async () => {
      registry ??= load(metrics);
      return (await registry).metrics();
    },
  };
}

async function load(metrics: Metric[]): Promise<Registry> {
  const { Counter, collectDefaultMetrics, Gauge, Registry } = (await import('prom-client')).default;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const metric of metrics) {
    if (metric.type === 'histogram') {
      registry.registerMetric(histogram(metric));
      continue;
    }
    const { name, help, type, read, label } = metric;
    const options = { name, help, registers: [registry], labelNames: label ? [label] : [] };
    if (type === 'gauge') {
      new Gauge({
        ...options,
        collect() {
          this.reset();
          each(read(), label, (labels, value) => this.set(labels, value));
        },
      });
    } else {
      new Counter({
        ...options,
        collect() {
          this.reset();
          each(read(), label, (labels, value) => this.inc(labels, value));
        },
      });
    }
  }
  return registry;
}

/** The library's histogram observes single values; ours are counted where they occur. */
function histogram({ name, help, bounds, read }: HistogramMetric): PromMetric {
  const get = async () => {
    const { counts, sum, count } = read();
    let below = 0;
    const buckets = bounds.map((le, i) => {
      below += counts[i] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le }, value: below };
    });
    return {
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [
        ...buckets,
        { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: count },
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: count },
      ],
    };
  };
  return { name, help, type: 'histogram', get, reset: () => {} } as unknown as PromMetric;
}

function each(
  value: number | Record<string, number>,
  label: string | undefined,
  set: (labels: Record<string, string>, value: number) => void,
): void {
  if (typeof value === 'number') set({}, value);
  else for (const [key, number] of Object.entries(value)) set({ [label as string]: key }, number);
}

/** The metrics of an SSE stream. */
export function streamMetrics(
  stream: string,
  stats: () => { readers: number; events: number; delivered: number; missed: number; bytes: number },
): Metric[] {
  return [
    { name: `rbee_${stream}_readers`, help: 'Open readers of the stream.', type: 'gauge', read: () => stats().readers },
    {
      name: `rbee_${stream}_events_total`,
      help: 'Events put on the stream.',
      type: 'counter',
      read: () => stats().events,
    },
    {
      name: `rbee_${stream}_delivered_total`,
      help: 'Events handed to readers.',
      type: 'counter',
      read: () => stats().delivered,
    },
    {
      name: `rbee_${stream}_missed_total`,
      help: 'Events that slow readers lost.',
      type: 'counter',
      read: () => stats().missed,
    },
    {
      name: `rbee_${stream}_ring_bytes`,
      help: 'Bytes kept for slow readers.',
      type: 'gauge',
      read: () => stats().bytes,
    },
  ];
}
