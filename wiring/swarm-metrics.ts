/** `/metrics` of a queen or keeper about its hives. */
import type { Metric } from '../server/http/metrics.js';
import type { Fleet } from '../stores/fleet.js';
import type { EventCounts } from './subscription-actors.js';

/** Hives with a label value of their own. */
const LABELLED_MAX = 1_000;

export function swarmMetrics(fleet: Fleet, counts: EventCounts, nowMs: () => number): Metric[] {
  return [
    { name: 'rbee_hives', help: 'Hives by state.', type: 'gauge', label: 'state', read: () => countStates(fleet) },
    {
      name: 'rbee_hives_unreachable',
      help: 'Hives that announced themselves and could not be read.',
      type: 'gauge',
      read: () => fleet.unreachable(nowMs()).length,
    },
    {
      name: 'rbee_hive_losses_total',
      help: 'Streams of hives that were lost.',
      type: 'counter',
      read: fleet.lossesTotal,
    },
    {
      name: 'rbee_hive_losses_10m',
      help: 'Losses in the last ten minutes, of each hive that was lost at all.',
      type: 'gauge',
      label: 'hive',
      read: () => mostLosses(fleet),
    },
    {
      name: 'rbee_hive_events_total',
      help: 'Events received from hives.',
      type: 'counter',
      read: () => counts.telemetry,
    },
    {
      name: 'rbee_hive_events_invalid_total',
      help: 'Invalid events from hives, which were dropped.',
      type: 'counter',
      read: () => counts.invalid,
    },
  ];
}

function countStates(fleet: Fleet): Record<string, number> {
  const states: Record<string, number> = { connecting: 0, streaming: 0, lost: 0 };
  for (const { state } of fleet.hives()) states[state] = (states[state] ?? 0) + 1;
  return states;
}

/** The hives that were lost most often. */
function mostLosses(fleet: Fleet): Record<string, number> {
  const lost = fleet
    .hives()
    .flatMap(({ hive_id, losses_10m: times = 0 }) => (times > 0 ? [[hive_id, times] as const] : []));
  return Object.fromEntries(lost.sort(([, a], [, b]) => b - a).slice(0, LABELLED_MAX));
}
