/** What somebody should look at, worst first: conflicts of names, lost hives, crashed workers, hives that are not well. */
import { useSignal } from '@preact/signals';
import type { HiveConflict } from '../../wire/hive.js';
import type { Hive } from '../data/hive.js';
import { ownCrashed } from '../data/keeper.js';
import { attention, conflicts, troubles } from '../data/swarm.js';
import { hivePath } from '../route.js';
import { CrashedWorkers } from './crashed.js';
import { forget, forgetting } from './forget.js';
import { Age, Countdown } from './small.js';

/** A rack that lost its power must not push all others off the screen. */
const SHOWN_MAX = 6;
const RANK = { bad: 0, warn: 1, good: 2, calm: 3 } as const;

export function Attention() {
  const all = useSignal(false);
  const hives = [...attention.value].sort((a, b) => RANK[a.tone.value] - RANK[b.tone.value]);
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
        {ownCrashed.value.length > 0 && (
          <li class="bad" data-trouble="">
            <span class="what">
              <strong>this machine</strong> {ownCrashed.value.length} crashed
            </span>
            <span class="why">
              <CrashedWorkers workers={ownCrashed.value} hiveId={null} awake />
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

function Conflict({ conflict }: { conflict: HiveConflict }) {
  const { hive_id, hive_url, holder_url, reason, since } = conflict;
  return (
    <li class="bad" data-conflict={hive_id}>
      <span class="what">
        <strong>{hive_id}</strong> {holder_url ? 'name taken' : 'refused'}
      </span>
      <span class="why">
        {holder_url ? (
          <>
            <code>{hive_url}</code> calls itself {hive_id}, and <code>{holder_url}</code> holds that name. Start one of
            them with another <code class="flag">--hive-id</code>.
          </>
        ) : (
          <>
            <code>{hive_url}</code> {reason}
          </>
        )}
      </span>
      <span class="when">
        for <Age of={since} />
      </span>
    </li>
  );
}

function Trouble({ hive }: { hive: Hive }) {
  const { state, stale, reason, since, nextAttemptAt } = hive.tie.value;
  const health = hive.health.value;
  // What a lost hive's workers do now nobody knows.
  const crashed = state === 'lost' ? [] : hive.crashed.value;
  const why = state === 'lost' ? reason : stale ? 'it has said nothing for three intervals' : (health?.reason ?? null);
  const words = state === 'lost' || stale ? hive.stateWords.value : '';
  const what = words || (crashed.length > 0 ? `${crashed.length} crashed` : (health?.status ?? ''));
  return (
    <li class={crashed.length > 0 ? 'bad' : hive.tone.value} data-trouble={hive.id}>
      <span class="what">
        <a href={hivePath(hive.id)}>{hive.id}</a> {what}
      </span>
      <span class="why">
        {why}
        {crashed.length > 0 && <CrashedWorkers workers={crashed} hiveId={hive.id} awake={state === 'streaming'} />}
      </span>
      <span class="when">
        {words !== '' && (
          <>
            for <Age of={since} />
          </>
        )}
        {state === 'lost' && nextAttemptAt && (
          <>
            {', asked again '}
            <Countdown to={nextAttemptAt} />
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
