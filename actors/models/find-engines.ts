/** Asks the usual ports of this machine for engines that run already, and for the models that they have. */
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

/** Whatever answers there is named by its port, which is all that is known. */
export const USUAL_ENGINES: readonly LocalEngine[] = [
  { name: 'Ollama', url: 'http://127.0.0.1:11434' },
  { name: 'LM Studio', url: 'http://127.0.0.1:1234' },
  { name: 'llama-server', url: 'http://127.0.0.1:8080' },
  { name: 'vLLM', url: 'http://127.0.0.1:8000' },
];

/** What is asked is on this machine, and gets no token. */
const LOCAL: Outgoing = { token: null, ca: null, loopbackOnly: true, family: 0 };

/** Those that answer before `signal` aborts. Never throws. */
export async function findEngines(engines: readonly LocalEngine[], signal: AbortSignal): Promise<FoundEngine[]> {
  const answers = await Promise.all(engines.map((engine) => look(engine, signal).catch(() => null)));
  return answers.filter((one) => one !== null);
}

async function look(engine: LocalEngine, signal: AbortSignal): Promise<FoundEngine | null> {
  const { headers, body } = await ask(LOCAL, `${engine.url}/v1/models`, { trusted: false, signal });
  // A worker of rbee may have that port: it is in the swarm already.
  if (headerOf(headers, HEADER.protocol) !== null) return null;
  const list = parseModelList(body);
  return list.ok ? { ...engine, models: list.value.data.map(({ id }) => id) } : null;
}
