/** All workers of the swarm, a form that spawns one, and the jobs that were started here. */
import '../style/workers.css';
import { useEffect } from 'preact/hooks';
import { host } from '../data/keeper.js';
import { loaded } from '../data/swarm.js';
import { followWorkers } from '../data/workers.js';
import { Activity } from '../parts/activity.js';
import { SpawnForm } from '../parts/spawn-form.js';
import { WorkerTable } from '../parts/worker-table.js';

export function WorkersScreen() {
  useEffect(followWorkers, []);
  if (!loaded.value) return <p class="waiting-first">Asking the {host} for the swarm …</p>;
  return (
    <div class="workers-screen">
      <h1 class="sr">Workers</h1>
      <WorkerTable />
      <div class="spawning">
        <SpawnForm />
        <Activity />
      </div>
    </div>
  );
}
