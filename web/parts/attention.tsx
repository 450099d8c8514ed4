/** What needs attention, worst first: conflicts of names, offline hives and crashed workers, degraded hives. */
import { useSignal } from '@preact/signals';
import type { HiveConflict, HiveUnreachable } from '../../wire/hive.js';
import type { Hive } from '../data/hive.js';
import { ownTroubled } from '../data/keeper.js';
import { remedyForReason } from '../data/remedy.js';
import { attention, conflicts, troubles, unreachable } from '../data/swarm.js';
import { hivePath } from '../route.js';
import { forget, forgetting } from './forget.js';
import { Age, Retrying } from './small.js';
import { countsOf, TroubledWorkers } from './troubled.js';

/** A rack without power must not push everything else off the screen. */
const SHOWN_MAX = 6;
const RANK = { bad: 0, warn: 1, good: 2, calm: 3 } as const;
/** A crashed worker ranks like a lost hive, whatever the health of its hive is. */
const rankOf = ({ tone, troubled }: Hive) =>
  troubled.value.length > 0 ? RANK.bad : Math.min(RANK.warn, RANK[tone.value]);

export function Attention() {
  const all = useSignal(false);
  const hives = [...attention.value].sort((a, b) => rankOf(a) - rankOf(b));
  if (troubles.value === 0) return null;
  const shown = all.value ? hives : hives.slice(0, SHOWN_MAX);
  return (
    <section class="attention" aria-labelledby="attention">
      <h2 id="attention">
        Needs attention <span class="count">{troubles}</span>
      </h2>
      <ul>
        {conflicts.value.map((conflict) => (
          <Conflict key={`${conflict.hive_id} ${conflict.hive_url}`} conflict={conflict} />
        ))}
        {unreachable.value.map((hive) => (
          <Unreachable key={`${hive.hive_id} ${hive.hive_url}`} hive={hive} />
        ))}
        {ownTroubled.value.length > 0 && (
          <li class="bad" data-trouble="">
            <span class="what">
              <strong>this machine</strong> {countsOf(ownTroubled.value)}
            </span>
            <span class="why">
              <TroubledWorkers workers={ownTroubled.value} hiveId={null} online />
            </span>
          </li>
        )}
        {shown.map((hive) => (
          <Trouble key={hive.key} hive={hive} />
        ))}
      </ul>
      {hives.length > SHOWN_MAX && (
        <button
          type="button"
          class="plain"
          aria-expanded={all.value}
          onClick={() => {
            all.value = !all.value;
          }}
        >
          {all.value ? 'Show fewer' : `Show ${hives.length - SHOWN_MAX} more`}
        </button>
      )}
    </section>
  );
}

function Unreachable({ hive }: { hive: HiveUnreachable }) {
  const { hive_id, hive_url, reason, remedy, since } = hive;
  return (
    <li class="bad" data-unreachable={hive_id}>
      <span class="what">
        <strong>{hive_id}</strong> cannot be reached
      </span>
      <span class="why">
        It announced itself at <code>{hive_url}</code>: {reason}. To fix it, {remedy}.
      </span>
      <span class="when">
        for <Age of={since} />
      </span>
    </li>
  );
}

function Conflict({ conflict }: { conflict: HiveConflict }) {
  const { hive_id, since } = conflict;
  return (
    <li class="bad" data-conflict={hive_id}>
      <span class="what">
        <strong>{hive_id}</strong> {conflict.holder_url ? 'name taken' : 'refused'}
      </span>
      <span class="why">
        <ConflictWords conflict={conflict} />
      </span>
      <span class="when">
        for <Age of={since} />
      </span>
    </li>
  );
}

export function ConflictWords({ conflict }: { conflict: HiveConflict }) {
  const { hive_id, hive_url, holder_url, reason } = conflict;
  return holder_url ? (
    <>
      <code>{hive_url}</code> calls itself {hive_id}, and <code>{holder_url}</code> holds that name. Start one of them
      with another <code class="flag">--hive-id</code>.
    </>
  ) : (
    <>
      <code>{hive_url}</code> {reason}
    </>
  );
}

function Trouble({ hive }: { hive: Hive }) {
  const { state, stale, reason, since, nextAttemptAt } = hive.connection.value;
  const health = hive.health.value;
  // The workers of a lost hive are not known.
  const troubled = state === 'lost' ? [] : hive.troubled.value;
  const why = state === 'lost' ? reason : stale ? staleWords(reason) : (health?.reason ?? null);
  const remedy = state === 'lost' ? remedyForReason(reason) : null;
  const words = state === 'lost' || stale ? hive.stateWords.value : '';
  const isUnhealthy = health !== null && health.status !== 'healthy';
  const lossWords = hive.isUnstable.value ? `It went offline ${hive.losses.value} times in the last ten minutes.` : '';
  const what =
    words ||
    (troubled.length > 0 ? countsOf(troubled) : lossWords && !isUnhealthy ? 'unstable' : (health?.status ?? ''));
  const tone = troubled.length > 0 ? 'bad' : hive.tone.value === 'good' ? 'warn' : hive.tone.value;
  return (
    <li class={tone} data-trouble={hive.id}>
      <span class="what">
        <a href={hivePath(hive.id)}>{hive.id}</a> {what}
      </span>
      <span class="why">
        {why}
        {remedy && <> · {remedy}</>}
        {lossWords && <> {lossWords}</>}
        {troubled.length > 0 && <TroubledWorkers workers={troubled} hiveId={hive.id} online={state === 'streaming'} />}
      </span>
      <span class="when">
        {words !== '' && (
          <>
            for <Age of={since} />
          </>
        )}
        {state === 'lost' && nextAttemptAt && (
          <>
            {'. '}
            <Retrying to={nextAttemptAt} />
          </>
        )}
      </span>
      <span class="do">
        {state === 'lost' && (
          <button type="button" disabled={forgetting.value.has(hive.id)} onClick={() => forget(hive.id)}>
            Forget<span class="sr"> {hive.id}</span>
          </button>
        )}
      </span>
    </li>
  );
}

/** The reason is `silent` where nothing else is known. */
const staleWords = (reason: string | null): string =>
  reason === null || reason === 'silent' ? 'no telemetry for three intervals' : reason;
