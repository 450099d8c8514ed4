/**
 * Loaded before a worker's own code (`node --import`), so that its spawner, and not each worker program, sees to the
 * bound of what it prints. RBEE_OUTPUT_DIR names the directory of its stdout and stderr.
 */
import path from 'node:path';
import { boundOutput } from '../actors/process/bound-output.js';

const directory = process.env.RBEE_OUTPUT_DIR;
if (directory) boundOutput({ files: ['stdout.log', 'stderr.log'].map((name) => path.join(directory, name)) });
