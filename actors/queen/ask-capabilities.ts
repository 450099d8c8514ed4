/** GET /capabilities of a worker: what it can do, and by what name it goes. */
import { knownParser } from '../../wire/schema.js';
import { PATH } from '../../wire/status.js';
import { WorkerCapabilities } from '../../wire/worker.js';
import { type Ask, ask, type Outgoing } from '../net/http.js';

const parseCapabilities = knownParser(WorkerCapabilities);

/** Null when it does not say: one that cannot tell what it can do may still work. Never rejects. */
export async function askCapabilities(
  outgoing: Outgoing,
  url: string,
  options: Pick<Ask, 'trusted' | 'worker' | 'signal' | 'connectMs'>,
): Promise<WorkerCapabilities | null> {
  try {
    const { body } = await ask(outgoing, url + PATH.capabilities, options);
    const answer = parseCapabilities(body);
    return answer.ok ? answer.value : null;
  } catch {
    return null;
  }
}
