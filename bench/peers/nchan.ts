/** nginx with nchan, from Debian's packages. */
import { existsSync } from 'node:fs';
import type { Scope } from '../lib/scope.js';
import { startNginx } from './nginx.js';

const MODULES = ['/usr/lib/nginx/modules/ngx_nchan_module.so', '/usr/share/nginx/modules/ngx_nchan_module.so'];

export interface Nchan {
  pids: number[];
  publishUrl: string;
  streamUrl: string;
}

/** Resolves with a sentence when it is not installed. */
export async function startNchan(scope: Scope): Promise<Nchan | string> {
  const module = MODULES.find((file) => existsSync(file));
  const nginx =
    module &&
    (await startNginx(scope, {
      top: `load_module ${module};`,
      http: 'nchan_message_buffer_length 100; nchan_message_timeout 10s;',
      server: `location = /publish { nchan_publisher; nchan_channel_id bench; }
    location = /stream { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }`,
    }));
  if (!nginx) return 'not installed: apt-get install nginx libnginx-mod-nchan';
  return { pids: nginx.pids, publishUrl: `${nginx.url}/publish`, streamUrl: `${nginx.url}/stream` };
}
