/** nginx with nchan, from Debian's packages: one worker, a configuration of its own in a directory that goes with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { waitFor } from '../../test/helpers/wait.js';
import { family } from '../lib/proc.js';
import type { Scope } from '../lib/scope.js';

const NGINX = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'];
const MODULES = ['/usr/lib/nginx/modules/ngx_nchan_module.so', '/usr/share/nginx/modules/ngx_nchan_module.so'];

export const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

function configuration(module: string, directory: string, port: number): string {
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
load_module ${module};
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log error;
events { worker_connections 4096; }
http {
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  keepalive_requests 1000000;
  nchan_message_buffer_length 100;
  nchan_message_timeout 10s;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /publish { nchan_publisher; nchan_channel_id bench; }
    location = /stream { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
  }
}
`;
}

export const findNginx = (): string | undefined => NGINX.find((file) => existsSync(file));

export interface Nchan {
  pids: number[];
  publishUrl: string;
  streamUrl: string;
}

/** Resolves with what is missing when it is not installed. */
export async function startNchan(scope: Scope): Promise<Nchan | string> {
  const nginx = findNginx();
  const module = MODULES.find((file) => existsSync(file));
  if (!nginx || !module) return 'not installed: apt-get install nginx libnginx-mod-nchan';
  const directory = scope.directory('nchan');
  for (const name of TEMPORARY) mkdirSync(path.join(directory, name));
  const port = await freePort();
  const file = path.join(directory, 'nginx.conf');
  writeFileSync(file, configuration(module, directory, port));
  const child = spawn(nginx, ['-c', file, '-p', directory, '-e', path.join(directory, 'error.log')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  scope.onEnd(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  await waitFor('nginx', () => fetch(`http://127.0.0.1:${port}/`).then(({ status }) => status > 0));
  const at = `http://127.0.0.1:${port}`;
  return { pids: family(child.pid as number), publishUrl: `${at}/publish`, streamUrl: `${at}/stream` };
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
