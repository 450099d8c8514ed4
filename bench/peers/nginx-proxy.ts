/** nginx as a reverse proxy for streams: keep-alive connections, no buffering. */
import type { Scope } from '../lib/scope.js';
import { type Nginx, startNginx } from './nginx.js';

/** @param upstream host:port. Resolves with a sentence when nginx is not installed. */
export async function startNginxProxy(scope: Scope, upstream: string): Promise<Nginx | string> {
  const nginx = await startNginx(scope, {
    http: `upstream worker { server ${upstream}; keepalive 64; }`,
    server: `location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }`,
  });
  return nginx ?? 'not installed: apt-get install nginx';
}
