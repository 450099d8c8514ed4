#!/usr/bin/env node
/** rbee worker: one model, answering inference. */
import { Command } from 'commander';
import { addProcessOptions } from '../wiring/options.js';
import { isMain, runCommand } from '../wiring/run-command.js';
import { runWorker } from '../wiring/worker.js';
import { addWorkerOptions } from '../wiring/worker-options.js';

const EXAMPLES = `
Examples:
  rbee worker --model ~/models/llama-3.2-1b-Q4_K_M.gguf          a file on this machine
  rbee worker --model hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf
                                                                 downloads it first, once
  rbee worker --engine openai --engine-url http://127.0.0.1:11434 --model llama3.2
                                                                 in front of an Ollama that is already running
  curl http://127.0.0.1:8080/v1/infer -H 'Content-Type: application/json' -d '{"prompt":"Hello"}'

It listens at once, and answers when the model is loaded: until then GET /health is 503 and shows the progress. Any client
of OpenAI's API can use it, with the base URL http://127.0.0.1:8080/v1. Ports: the first free of 8080 to 8200.`;

export function workerCommand(): Command {
  const command = new Command('worker').description('Runs one model, and answers inference with it.');
  return addProcessOptions(addWorkerOptions(command), 'the first free of 8080 to 8200')
    .addHelpText('after', EXAMPLES)
    .action(runWorker);
}

if (isMain(import.meta.url)) await runCommand(workerCommand().name('rbee-worker'), process.argv);
