/** One hive: its last ten minutes, what it is made of, what runs on it, and the state machines of its connection. */
import 'uplot/dist/uPlot.min.css';
import '../style/hive.css';
import { useEffect } from 'preact/hooks';
import type { Hive } from '../data/hive.js';
import { host } from '../data/keeper.js';
import { followMachines } from '../data/machines.js';
import { remedyForReason } from '../data/remedy.js';
import { conflicts, hiveEntryOf, loaded } from '../data/swarm.js';
import { ConflictWords } from '../parts/attention.js';
import { forget, forgetting } from '../parts/forget.js';
import { HiveLabels } from '../parts/hive-card.js';
import { HiveCharts } from '../parts/hive-charts.js';
import { HiveLog } from '../parts/hive-log.js';
import { HiveMachines } from '../parts/hive-machines.js';
import { HiveDevices, HiveWorkers } from '../parts/hive-tables.js';
import { Age, Retrying, State } from '../parts/small.js';
import { hivePath } from '../route.js';

export function HiveScreen({ id }: { id: string }) {
  const hive = hiveEntryOf(id);
  if (hive) return <HiveDetails key={hive.key} hive={hive} />;
  if (!loaded.value)
    return (
      <p class="waiting-first">
        Asking the {host} for {id} …
      </p>
    );
  return (
    <section class="empty">
      <h1>No hive {id}</h1>
      <p>The {host} has no hive of this name. It may have been forgotten.</p>
      <p>
        <a href="#/">To the swarm</a>
      </p>
    </section>
  );
}

function HiveDetails({ hive }: { hive: Hive }) {
  useEffect(() => followMachines(hive), [hive]);
  const isLost = hive.connection.value.state === 'lost';
  return (
    <article class="hive">
      <HiveHeader hive={hive} />
      <NameCallouts hive={hive} />
      {isLost ? <LostCallout hive={hive} /> : <HealthCallout hive={hive} />}
      <HiveCharts hive={hive} />
      {isLost && <p class="past">What follows is from its last telemetry.</p>}
      <div class="columns">
        <HiveWorkers hive={hive} />
        <HiveDevices hive={hive} />
      </div>
      <HiveMachines />
      <HiveLog hive={hive} />
    </article>
  );
}

function HiveHeader({ hive }: { hive: Hive }) {
  const { url, since } = hive.connection.value;
  const losses = hive.losses.value;
  return (
    <header>
      <p class="back">
        <a href="#/">Swarm</a> /
      </p>
      <h1>{hive.id}</h1>
      <State hive={hive} />
      <span class="for">
        for <Age of={since} />
        {losses > 0 && `, went offline ${losses === 1 ? 'once' : `${losses} times`} in the last ten minutes`}
      </span>
      <code class="url">{url}</code>
      <HiveLabels hive={hive} />
    </header>
  );
}

/** Names that another hive or worker has, too. */
function NameCallouts({ hive }: { hive: Hive }) {
  return (
    <>
      {conflicts.value
        .filter(({ hive_id }) => hive_id === hive.id)
        .map((conflict) => (
          <p key={conflict.hive_url} class="callout bad" data-conflict={hive.id}>
            <span>
              <ConflictWords conflict={conflict} />
            </span>
          </p>
        ))}
      {hive.refused.value.map(({ worker_id, holder }) => (
        <p key={worker_id} class="callout warn">
          <span>
            It lists {worker_id}, which is a worker of <a href={hivePath(holder)}>{holder}</a> and stays there. Start
            one of the two hives with another <code class="flag">--hive-id</code>.
          </span>
        </p>
      ))}
    </>
  );
}

function LostCallout({ hive }: { hive: Hive }) {
  const { reason, nextAttemptAt } = hive.connection.value;
  const remedy = remedyForReason(reason);
  return (
    <div class="callout bad">
      <p>
        {reason}.{' '}
        {nextAttemptAt && (
          <>
            <Retrying to={nextAttemptAt} />.
          </>
        )}
        {remedy && (
          <>
            <br />
            {remedy}
          </>
        )}
      </p>
      <button type="button" disabled={forgetting.value.has(hive.id)} onClick={() => forget(hive.id)}>
        Forget this hive
      </button>
    </div>
  );
}

function HealthCallout({ hive }: { hive: Hive }) {
  const health = hive.health.value;
  if (!health || health.status === 'healthy') return null;
  return (
    <p class="callout warn">
      {health.status}: {health.reason ?? 'it gives no reason'}
    </p>
  );
}
