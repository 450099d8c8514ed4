/** nginx from Debian's packages: one worker process, its configuration in a temporary directory. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { waitFor } from '../../test/helpers/wait.js';
import { family } from '../lib/proc.js';
import type { Scope } from '../lib/scope.js';

const NGINX = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'];
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

export interface Nginx {
  url: string;
  pids: number[];
}

export interface NginxInput {
  /** At the top of the configuration, such as `load_module`. */
  top?: string;
  /** Inside `http`. */
  http?: string;
  /** Inside `server`. */
  server: string;
}

/** Resolves when it answers, or with null when it is not installed. */
export async function startNginx(scope: Scope, { top = '', http = '', server }: NginxInput): Promise<Nginx | null> {
  const nginx = NGINX.find((file) => existsSync(file));
  if (!nginx) return null;
  const directory = scope.directory('nginx');
  for (const name of TEMPORARY) mkdirSync(path.join(directory, name));
  const port = await freePort();
  const file = path.join(directory, 'nginx.conf');
  writeFileSync(
    file,
    `${process.getuid?.() === 0 ? 'user root;' : ''}
${top}
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log error;
events { worker_connections 4096; }
http {
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  keepalive_requests 1000000;
  ${http}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    ${server}
  }
}
`,
  );
  const child = spawn(nginx, ['-c', file, '-p', directory, '-e', path.join(directory, 'error.log')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  scope.onEnd(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor('nginx', () => fetch(url).then(({ status }) => status > 0));
  return { url, pids: family(child.pid as number) };
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
