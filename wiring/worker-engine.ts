/** Loads the engine that the options name, and only that one: each brings dependencies of its own. */
import type { Engine } from '../actors/worker/engines/engine.js';
import type { ProcessContext } from './process.js';
import { engineOf, llamaInputOf, type WorkerOptions } from './worker-options.js';

/** Ollama's port. */
const ENGINE_URL = 'http://127.0.0.1:11434';

export type CreateEngine = (processContext: ProcessContext) => Engine;

export async function loadEngine(options: WorkerOptions): Promise<CreateEngine> {
  const { model } = options;
  if (engineOf(options) === 'llama') {
    const { LlamaEngine } = await import('../actors/worker/engines/llama.js');
    return ({ log }) => new LlamaEngine(llamaInputOf(options, { model, log: engineLog(log) }));
  }
  const { OpenAiEngine } = await import('../actors/worker/engines/openai.js');
  const url = options.engineUrl ?? ENGINE_URL;
  const apiKey = process.env.RBEE_ENGINE_API_KEY ?? null;
  return ({ log, security }) => new OpenAiEngine({ model, url, apiKey, ca: security.ca, log: engineLog(log) });
}

function engineLog(log: ProcessContext['log']) {
  return {
    debug: (message: string) => log.debug(message),
    info: (message: string) => log.info(message),
    warn: (message: string) => log.warn(message),
  };
}
