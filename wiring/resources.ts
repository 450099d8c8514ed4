/** Says, measures and tells of what a process runs out of: in the log once, in /metrics, and to whoever asks. */
import { type Resources, readResources, shortagesOf } from '../actors/process/read-resources.js';
import type { Metric } from '../server/http/metrics.js';

const LOOK_MS = 30_000;

export interface ResourceWatch {
  /** One sentence on each thing that runs out. */
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
  /** By its words without the numbers in them, so that a number that moves is no news. */
  const kindOf = (sentence: string) => sentence.replace(/\d+/g, '');
  const look = () => {
    resources = readResources(directory, certificate, Date.now());
    const told = new Set(shortages.map(kindOf));
    shortages = shortagesOf(resources);
    for (const one of shortages) if (!told.has(kindOf(one))) warn(one);
  };
  look();
  const timer = setInterval(look, LOOK_MS);
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
        'Free on the disk of the state directory.',
        () => resources.diskFreeMb && resources.diskFreeMb * 1024 * 1024,
      ),
      ...(certificate === null
        ? []
        : [
            gauge(
              'rbee_certificate_days_left',
              'Until the certificate that is served ends.',
              () => resources.certificateDays,
            ),
          ]),
    ],
    stop: () => clearInterval(timer),
  };
}
