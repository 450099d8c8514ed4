/** One hive: ten minutes of it, what is in it, what runs on it, and its connection as the machine that it is. */
import 'uplot/dist/uPlot.min.css';
import '../style/hive.css';
import { useComputed, useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { MachineEntry } from '../../wire/machines.js';
import { known, NONE } from '../../wire/units.js';
import { type Hive, workerName } from '../data/hive.js';
import { host } from '../data/keeper.js';
import { followMachines, machines } from '../data/machines.js';
import { remedyForReason } from '../data/remedy.js';
import { eventName } from '../data/statechart.js';
import { conflicts, hiveOf, whole } from '../data/swarm.js';
import { Track } from '../data/track.js';
import { clockTime } from '../format.js';
import { ConflictWords } from '../parts/attention.js';
import { Chart } from '../parts/chart.js';
import { forget, forgetting } from '../parts/forget.js';
import { HiveLabels } from '../parts/hive-card.js';
import { Scroll } from '../parts/scroll.js';
import { Age, Retrying, State } from '../parts/small.js';
import { Statechart } from '../parts/statechart.js';
import { Decide } from '../parts/troubled.js';
import { WorkerCells, WorkerHeads } from '../parts/worker-cells.js';
import { hivePath } from '../route.js';

export function HiveScreen({ id }: { id: string }) {
  const hive = hiveOf(id);
  if (hive) return <Known key={hive.key} hive={hive} />;
  if (!whole.value)
    return (
      <p class="waiting-first">
        Asking the {host} for {id} …
      </p>
    );
  return (
    <section class="empty">
      <h1>No hive {id}</h1>
      <p>The {host} knows none of this name, or has forgotten it.</p>
      <p>
        <a href="#/">To the swarm</a>
      </p>
    </section>
  );
}

function Known({ hive }: { hive: Hive }) {
  useEffect(() => followMachines(hive), [hive]);
  const { url, state, reason, since, nextAttemptAt } = hive.connection.value;
  const health = hive.health.value;
  const losses = hive.losses.value;
  return (
    <article class="hive">
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
            It lists {worker_id}, which is a worker of <a href={hivePath(holder)}>{holder}</a>: that one keeps it. Start
            one of the two hives with another <code class="flag">--hive-id</code>.
          </span>
        </p>
      ))}
      {state === 'lost' && (
        <div class="callout bad">
          <p>
            {reason}.{' '}
            {nextAttemptAt && (
              <>
                <Retrying to={nextAttemptAt} />.
              </>
            )}
            {remedyForReason(reason) && (
              <>
                <br />
                {remedyForReason(reason)}
              </>
            )}
          </p>
          <button type="button" disabled={forgetting.value.has(hive.id)} onClick={() => forget(hive.id)}>
            Forget this hive
          </button>
        </div>
      )}
      {state !== 'lost' && health && health.status !== 'healthy' && (
        <p class="callout warn">
          {health.status}: {health.reason ?? 'it does not say why'}
        </p>
      )}
      <Charts hive={hive} />
      {state === 'lost' && <p class="past">What follows is from its last telemetry.</p>}
      <div class="columns">
        <Workers hive={hive} />
        <Devices hive={hive} />
      </div>
      <Machines />
      <Log hive={hive} />
    </article>
  );
}

function Charts({ hive }: { hive: Hive }) {
  const version = useSignal(0);
  const track = useMemo(
    () =>
      new Track(hive, () => {
        version.value += 1;
      }),
    [hive],
  );
  useEffect(() => track.follow(), [track]);
  // What there is to draw changes seldom; the numbers come through `version`.
  const shape = useComputed(() =>
    JSON.stringify({
      ids: (hive.node.value?.gpus ?? []).map(({ id }) => id),
      ram: hive.node.value?.ram_total_mb ?? null,
      vram: (hive.node.value?.gpus ?? []).map(({ vram_total_mb }) => vram_total_mb),
    }),
  );
  const { ids, ram, vram } = JSON.parse(shape.value) as { ids: string[]; ram: number | null; vram: (number | null)[] };
  const of = (what: string) => ids.map((id) => ({ name: `${what} ${id}`, label: id }));
  const totals = vram.filter(known);
  const data = (names: readonly string[]) => track.columns(names);
  const common = { data, version: version.value };
  return (
    <section class="charts" aria-label="The last ten minutes">
      <Chart title="CPU" unit="%" max={100} series={[{ name: 'cpu', label: 'CPU' }]} {...common} />
      <Chart
        title="RAM"
        unit="GiB"
        max={ram === null ? null : ram / 1024}
        series={[{ name: 'ram', label: 'RAM' }]}
        {...common}
      />
      {ids.length > 0 && (
        <>
          <Chart title="GPU use" unit="%" max={100} series={of('util')} {...common} />
          <Chart
            title="VRAM"
            unit="GiB"
            max={totals.length > 0 ? Math.max(...totals) / 1024 : null}
            series={of('vram')}
            {...common}
          />
          <Chart title="GPU temperature" unit="°C" max={100} series={of('temp')} {...common} />
        </>
      )}
    </section>
  );
}

function Workers({ hive }: { hive: Hive }) {
  const workers = hive.workers.value;
  return (
    <section class="panel">
      <h2>Workers</h2>
      {workers.length === 0 ? (
        <p class="none">No worker runs here.</p>
      ) : (
        <Scroll label="Workers, as a table">
          <table class="worker-table">
            <thead>
              <tr>
                <th>Worker</th>
                <WorkerHeads />
              </tr>
            </thead>
            <tbody>
              {workers.map((worker) => (
                <tr key={workerName(worker)}>
                  <th scope="row">{workerName(worker).split('@')[0]}</th>
                  <WorkerCells worker={worker}>
                    {hive.connection.value.state === 'streaming' && <Decide hiveId={hive.id} worker={worker} />}
                  </WorkerCells>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

function Devices({ hive }: { hive: Hive }) {
  const devices = hive.devices.value;
  return (
    <section class="panel">
      <h2>Devices</h2>
      {devices === null ? (
        <p class="none">Not known yet.</p>
      ) : (
        <Scroll label="Devices, as a table">
          <table>
            <thead>
              <tr>
                <th>Device</th>
                <th>Name</th>
                <th>Kind</th>
                <th class="number">Memory</th>
              </tr>
            </thead>
            <tbody>
              {devices.map((device) => (
                <tr key={device.id}>
                  <th scope="row">{device.id}</th>
                  <td>{device.name}</td>
                  <td>
                    {device.device_type}
                    {device.compute_capability ? ` ${device.compute_capability}` : ''}
                  </td>
                  <td class="number">
                    {known(device.vram_gb) ? `${Math.round(device.vram_gb * 10) / 10}\u202fGiB` : NONE}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

function Machines() {
  const [subscription, ...others] = machines.value;
  if (!subscription) return null;
  return (
    <section class="panel machines">
      <h2>Connection</h2>
      <div class="machine">
        <Statechart key={subscription.id} machine={subscription} />
        <Transitions machine={subscription} />
      </div>
      {others.map((machine) => (
        <div class="machine" key={machine.id}>
          <Statechart machine={machine} />
          <Transitions machine={machine} />
        </div>
      ))}
    </section>
  );
}

/** A machine keeps its last reason while it goes on: only of these states is it the reason. */
const ENDED = /^(lost|backoff|waiting|gone|crashed|failed)/;

function Transitions({ machine }: { machine: MachineEntry }) {
  return (
    <div class="transitions">
      <h3>{machine.machine}: last transitions</h3>
      <Scroll label={`Last transitions of ${machine.machine}`}>
        <ol>
          {[...machine.transitions].reverse().map(({ at, event, to, reason }, i) => (
            <li key={`${at} ${machine.transitions.length - i}`}>
              <time dateTime={at} title={at}>
                {clockTime(at)}
              </time>
              <span>
                <span class="event">{eventName(event)}</span> → <b>{to}</b>
                {reason && ENDED.test(to) && <span class="reason"> {reason}</span>}
              </span>
            </li>
          ))}
        </ol>
      </Scroll>
    </div>
  );
}

function Log({ hive }: { hive: Hive }) {
  const lines = hive.log.value;
  return (
    <section class="panel">
      <h2>Changes since this page was opened</h2>
      <ol class="log">
        {lines.map(({ at, tone, text }, i) => (
          <li key={`${at} ${lines.length - i}`} class={tone}>
            <time dateTime={at} title={at}>
              {clockTime(at)}
            </time>
            <span>{text}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
