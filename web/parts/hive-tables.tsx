/** The workers and the devices of one hive. */
import { known, NONE } from '../../wire/units.js';
import { type Hive, workerName } from '../data/hive.js';
import { Scroll } from './scroll.js';
import { Decide } from './troubled.js';
import { WorkerCells, WorkerHeads } from './worker-cells.js';

export function HiveWorkers({ hive }: { hive: Hive }) {
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

export function HiveDevices({ hive }: { hive: Hive }) {
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
