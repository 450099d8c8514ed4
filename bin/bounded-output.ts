/**
 * Loaded before a worker's own code (`node --import`): bounds its output, whatever worker program it is. RBEE_OUTPUT_DIR is
 * the directory of its stdout and stderr.
 */
import path from 'node:path';
import { boundOutput } from '../actors/process/bound-output.js';

const directory = process.env.RBEE_OUTPUT_DIR;
if (directory) boundOutput({ files: ['stdout.log', 'stderr.log'].map((name) => path.join(directory, name)) });
