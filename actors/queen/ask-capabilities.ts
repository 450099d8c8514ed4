/** GET /capabilities of a worker: its models, and its id. */
import { knownParser } from '../../wire/schema.js';
import { PATH } from '../../wire/status.js';
import { WorkerCapabilities } from '../../wire/worker.js';
import { type Ask, ask, type Outgoing } from '../net/http.js';

const parseCapabilities = knownParser(WorkerCapabilities);

/** Null without a valid answer: a worker that does not list its models may still serve. Never rejects. */
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
