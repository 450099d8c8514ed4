/** Watches what a process can run out of: a warning for each shortage, metrics, and a list for the health of the process. */
import { type Resources, readResources, shortagesOf } from '../actors/process/read-resources.js';
import type { Metric } from '../server/http/metrics.js';

const CHECK_MS = 30_000;

export interface ResourceWatch {
  /** One sentence for each shortage. */
  shortages: () => string[];
  metrics: Metric[];
  stop: () => void;
}

/** @param certificate PEM, null without TLS */
export function watchResources(
  directory: string,
  certificate: string | null,
  warn: (message: string) => void,
): ResourceWatch {
  let resources: Resources;
  let shortages: string[] = [];
  /** The sentence without its numbers, so that a changed number is not a new shortage. */
  const kindOf = (sentence: string) => sentence.replace(/\d+/g, '');
  const check = () => {
    resources = readResources(directory, certificate, Date.now());
    const known = new Set(shortages.map(kindOf));
    shortages = shortagesOf(resources);
    for (const one of shortages) if (!known.has(kindOf(one))) warn(one);
  };
  check();
  const timer = setInterval(check, CHECK_MS);
  timer.unref();
  const gauge = (name: string, help: string, read: () => number | null): Metric => ({
    ...{ name, help, type: 'gauge' },
    read: () => read() ?? Number.NaN,
  });
  return {
    shortages: () => shortages,
    metrics: [
      gauge(
        'rbee_state_disk_free_bytes',
        'Free bytes on the disk of the state directory.',
        () => resources.diskFreeMb && resources.diskFreeMb * 1024 * 1024,
      ),
      ...(certificate === null
        ? []
        : [
            gauge('rbee_certificate_days_left', 'Days until the certificate expires.', () => resources.certificateDays),
          ]),
    ],
    stop: () => clearInterval(timer),
  };
}
