/** All workers of the swarm, each with a way to stop it. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { known } from '../../wire/units.js';
import { workerName } from '../data/hive.js';
import { host } from '../data/keeper.js';
import { startJob } from '../data/spawn-form.js';
import { hiveIdField } from '../data/spawn-targets.js';
import { type WorkerRow, workerRows } from '../data/worker-rows.js';
import { onlineWorkers } from '../data/workers.js';
import { hivePath } from '../route.js';
import { notify } from './notice.js';
import { Scroll } from './scroll.js';
import { Decide } from './troubled.js';
import { WorkerCells, WorkerHeads } from './worker-cells.js';

export function WorkerTable() {
  const rows = workerRows();
  const stopping = useSignal<WorkerRow | null>(null);
  const close = () => {
    stopping.value = null;
  };
  return (
    <section class="panel">
      <h2>Workers</h2>
      {rows.length === 0 ? (
        <p class="none">{onlineWorkers.value === null ? `Asking the ${host} …` : 'No worker runs yet.'}</p>
      ) : (
        <Scroll label="Workers, as a table">
          <table class="worker-table">
            <Head />
            <tbody>
              {rows.map((row) => (
                <Row
                  key={`${row.machine.name} ${workerName(row.worker)}`}
                  row={row}
                  onStop={() => (stopping.value = row)}
                />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {stopping.value && <ConfirmStop row={stopping.value} onClose={close} />}
    </section>
  );
}

function Head() {
  return (
    <thead>
      <tr>
        <th>Worker</th>
        <th>{host.value === 'queen' ? 'Hive' : 'Machine'}</th>
        <WorkerHeads />
        <th>
          <span class="sr">Stop</span>
        </th>
      </tr>
    </thead>
  );
}

function Row({ row: { machine, worker, foreign }, onStop }: { row: WorkerRow; onStop: () => void }) {
  const name = workerName(worker).split('@')[0];
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{machine.hiveId === null ? machine.name : <a href={hivePath(machine.hiveId)}>{machine.name}</a>}</td>
      <WorkerCells worker={worker} />
      <td class="number do">
        {known(worker.pid) && !foreign && (
          <button type="button" onClick={onStop}>
            Stop<span class="sr"> {name}</span>
          </button>
        )}
        {!foreign && <Decide hiveId={machine.hiveId} worker={worker} />}
      </td>
    </tr>
  );
}

async function stopWorker({ machine, worker }: WorkerRow): Promise<void> {
  const operation = { operation: 'worker_process_delete', ...hiveIdField(machine), pid: worker.pid };
  const refusal = await startJob(`Stop ${workerName(worker)}`, operation);
  if (refusal !== null) notify(refusal, 'bad');
}

function ConfirmStop({ row, onClose }: { row: WorkerRow; onClose: () => void }) {
  const { machine, worker } = row;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = () => {
    dialog.current?.close();
    void stopWorker(row);
  };
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="stop-title">
      <h2 id="stop-title">Stop {workerName(worker)}?</h2>
      <p>
        It serves {worker.model ?? 'a model'} on {machine.name}. Its running answers are cut off.
      </p>
      <div class="choices">
        <button type="button" onClick={() => dialog.current?.close()}>
          Keep it
        </button>
        <button type="button" class="main" onClick={confirm}>
          Stop it
        </button>
      </div>
    </dialog>
  );
}
