/**
 * Loaded into a measured process by `node --import`: SIGUSR2 starts a CPU profile, another one stops it and writes it into the
 * directory in this module's query. `--cpu-prof` would include the start of the process.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import path from 'node:path';

const directory = new URL(import.meta.url).searchParams.get('directory') ?? '.';
const session = new Session();
session.connect();
let running = false;

process.on('SIGUSR2', () => {
  if (!running) {
    running = true;
    session.post('Profiler.enable');
    session.post('Profiler.start');
    return;
  }
  running = false;
  session.post('Profiler.stop', (error, result) => {
    if (error) return;
    writeFileSync(path.join(directory, 'part'), JSON.stringify(result.profile));
    writeFileSync(path.join(directory, 'done'), '');
  });
});
