/** nginx from Debian's packages as a reverse proxy for streams: one worker process, kept connections, no buffering. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { waitFor } from '../../test/helpers/wait.js';
import { family } from '../lib/proc.js';
import type { Scope } from '../lib/scope.js';
import { findNginx, freePort, TEMPORARY } from './nchan.js';

function configuration(directory: string, port: number, upstream: string): string {
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log error;
events { worker_connections 4096; }
http {
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  keepalive_requests 1000000;
  upstream worker { server ${upstream}; keepalive 64; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}

export interface NginxProxy {
  url: string;
  pids: number[];
}

/** @param upstream host:port. Resolves with what is missing when it is not installed. */
export async function startNginxProxy(scope: Scope, upstream: string): Promise<NginxProxy | string> {
  const nginx = findNginx();
  if (!nginx) return 'not installed: apt-get install nginx';
  const directory = scope.directory('nginx');
  for (const name of TEMPORARY) mkdirSync(path.join(directory, name));
  const port = await freePort();
  const file = path.join(directory, 'nginx.conf');
  writeFileSync(file, configuration(directory, port, upstream));
  const child = spawn(nginx, ['-c', file, '-p', directory, '-e', path.join(directory, 'error.log')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  scope.onEnd(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor('nginx', () => fetch(`${url}/health`).then(({ ok }) => ok));
  return { url, pids: family(child.pid as number) };
}
