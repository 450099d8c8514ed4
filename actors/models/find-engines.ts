/** Finds engines that already run on this machine, at their usual ports, and the models that they serve. */
import { parseModelList } from '../../wire/openai.js';
import { HEADER } from '../../wire/status.js';
import { ask, type Outgoing } from '../net/http.js';
import { headerOf } from '../net/response.js';

export interface LocalEngine {
  name: string;
  url: string;
}

export interface FoundEngine extends LocalEngine {
  models: string[];
}

/** An engine is named by its usual port: its answer does not tell which engine it is. */
export const USUAL_ENGINES: readonly LocalEngine[] = [
  { name: 'Ollama', url: 'http://127.0.0.1:11434' },
  { name: 'LM Studio', url: 'http://127.0.0.1:1234' },
  { name: 'llama-server', url: 'http://127.0.0.1:8080' },
  { name: 'vLLM', url: 'http://127.0.0.1:8000' },
];

/** On this machine only, and without a token. */
const LOCAL: Outgoing = { token: null, ca: null, loopbackOnly: true, family: 0 };

/** Engines that answer before `signal` aborts. Never throws. */
export async function findEngines(engines: readonly LocalEngine[], signal: AbortSignal): Promise<FoundEngine[]> {
  const answers = await Promise.all(engines.map((engine) => askForModels(engine, signal).catch(() => null)));
  return answers.filter((one) => one !== null);
}

async function askForModels(engine: LocalEngine, signal: AbortSignal): Promise<FoundEngine | null> {
  const { headers, body } = await ask(LOCAL, `${engine.url}/v1/models`, { trusted: false, signal });
  // A worker of rbee at that port is in the swarm already.
  if (headerOf(headers, HEADER.protocol) !== null) return null;
  const list = parseModelList(body);
  return list.ok ? { ...engine, models: list.value.data.map(({ id }) => id) } : null;
}
