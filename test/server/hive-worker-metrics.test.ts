import t from 'tap';
import { hiveWorkerMetrics } from '../../server/hive-worker-metrics.js';
import { createMetrics } from '../../server/http/metrics.js';

t.test('what a hive measures of its workers is in its metrics, and what is not known is not there', async (t) => {
  const metrics = hiveWorkerMetrics(() => [
    { worker_id: 'a@gpu-0', status: 'busy', restarts: 3, rss_mb: 2, cpu_pct: 150, vram_mb: null, tokens_per_s: 12.5 },
    { worker_id: 'b@gpu-0', status: 'crashed', pid: null, rss_mb: null },
    { worker_id: 'orphan-7@gpu-0', status: 'orphaned', pid: 7 },
  ]);
  const text = await createMetrics(metrics).text();
  for (const line of [
    'rbee_hive_worker_up{worker_id="a@gpu-0"} 1',
    'rbee_hive_worker_up{worker_id="b@gpu-0"} 0',
    'rbee_hive_worker_crashed{worker_id="b@gpu-0"} 1',
    'rbee_hive_worker_orphaned{worker_id="orphan-7@gpu-0"} 1',
    'rbee_hive_worker_restarts_total{worker_id="a@gpu-0"} 3',
    'rbee_hive_worker_restarts_total{worker_id="b@gpu-0"} 0',
    'rbee_hive_worker_resident_bytes{worker_id="a@gpu-0"} 2097152',
    'rbee_hive_worker_tokens_per_s{worker_id="a@gpu-0"} 12.5',
  ]) {
    t.match(text, `${line}\n`);
  }
  t.notMatch(text, /resident_bytes\{worker_id="b|vram_bytes\{|restarts_total\{worker_id="orphan/);
});
