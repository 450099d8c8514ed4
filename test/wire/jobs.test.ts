import t from 'tap';
import { parseOperation } from '../../wire/jobs.js';

t.test('each wrong field of an operation is named', async (t) => {
  const wrong: [unknown, string[]][] = [
    [7, ['']],
    [{}, ['/operation']],
    [{ operation: 'dance' }, ['/operation']],
    [{ operation: 'worker_spawn' }, ['/model', '/worker']],
    [{ operation: 'worker_spawn', model: 'a', worker: 'abacus', device: -1 }, ['/worker', '/device']],
    [{ operation: 'worker_spawn', model: 'a\0', worker: 'cpu' }, ['/model']],
    [{ operation: 'worker_spawn', model: 'a\n[DONE]', worker: 'cpu' }, ['/model']],
    [{ operation: 'infer', model: '\x1b[2Ja', prompt: 'two\nlines' }, ['/model']],
    [{ operation: 'worker_spawn', model: 'a', worker: 'openai' }, ['/engine_url']],
    [{ operation: 'worker_spawn', model: 'a', worker: 'cpu', engine_url: 'http://a' }, ['/engine_url']],
    [
      { operation: 'worker_spawn', model: 'a', worker: 'cuda', context: 0, slots: 1025, threads: 1.5, kv_type: 'q5' },
      ['/context', '/slots', '/threads', '/kv_type'],
    ],
    [{ operation: 'worker_spawn', model: 'a', worker: 'cuda', gpu_layers: -1 }, ['/gpu_layers']],
    [{ operation: 'worker_spawn', model: 'a', worker: 'cpu', gpu_layers: 1 }, ['/gpu_layers']],
    [
      {
        ...{ operation: 'worker_spawn', model: 'a', worker: 'openai', engine_url: 'http://a' },
        threads: 2,
        context: 9,
      },
      ['/threads', '/context'],
    ],
    [{ operation: 'worker_process_get', pid: '7' }, ['/pid']],
    [{ operation: 'worker_process_delete', pid: 0 }, ['/pid']],
    [{ operation: 'worker_process_delete' }, ['/pid']],
    [{ operation: 'worker_process_delete', pid: null }, ['/pid']],
    [{ operation: 'worker_process_delete', worker_id: 'a b' }, ['/worker_id']],
    [{ operation: 'worker_process_list', hive_id: '../x' }, ['/hive_id']],
    [{ operation: 'infer', model: 'a', prompt: '', temperature: 9 }, ['/prompt', '/temperature']],
  ];
  for (const [value, pointers] of wrong) {
    const parsed = parseOperation(value);
    t.equal(parsed.ok, false, JSON.stringify(value));
    if (!parsed.ok)
      t.strictSame(parsed.errors.map(({ pointer }) => pointer).sort(), pointers.sort(), JSON.stringify(value));
  }
  const unknown = parseOperation({ operation: 'dance' });
  t.match(!unknown.ok && unknown.errors[0]?.detail, /worker_spawn.*worker_process_list.*infer.*status/);
  for (const right of [
    { operation: 'worker_spawn', hive_id: 'gpu-0', model: 'a', worker: 'cuda', device: 1 },
    { operation: 'worker_spawn', model: 'a', worker: 'openai', engine_url: 'http://127.0.0.1:11434' },
    {
      ...{ operation: 'worker_spawn', model: 'a', worker: 'cuda', context: 32768, slots: 2, threads: 4 },
      ...{ gpu_layers: 0, kv_type: 'q8_0' },
    },
    { operation: 'worker_spawn', model: 'a', worker: 'cpu', context: null, slots: null, threads: null, kv_type: null },
    { operation: 'worker_spawn', model: 'a', worker: 'openai', engine_url: 'http://a', slots: 32 },
    { operation: 'infer', model: 'a', prompt: 'b', max_tokens: 5, top_p: 1, top_k: 3, worker_id: 'w@x', stream: true },
    { operation: 'worker_process_delete', pid: 7 },
    { operation: 'worker_process_delete', worker_id: 'w@x', pid: null },
    { operation: 'status', more: 'of what we do not know' },
  ]) {
    t.equal(parseOperation(right).ok, true, JSON.stringify(right));
  }
});
