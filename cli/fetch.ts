/**
 * The commands' fetch, by node:http. Node's own fetch gives up on an answer that is silent for 300 s, while a model may load
 * for longer, and it cannot be given an authority to trust.
 */
import http from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';
import type { FetchLike } from '../client/index.js';

/** @param authority PEM of an authority that is trusted in addition to the usual ones */
export function createFetch(authority: string | null): FetchLike {
  const agent = new https.Agent(authority === null ? {} : { ca: [...rootCertificates, authority] });
  return (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const isSecure = url.startsWith('https:');
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      const options = { method, headers: { ...headers, ...length }, signal, agent: isSecure ? agent : false } as const;
      const request = (isSecure ? https : http).request(url, options);
      request.once('error', reject);
      request.once('response', (response) => {
        // The reader of the body gets later errors.
        request.on('error', () => {});
        const get = (name: string) => {
          const value = response.headers[name.toLowerCase()];
          return (Array.isArray(value) ? value.join(', ') : value) ?? null;
        };
        resolve({ status: response.statusCode ?? 0, headers: { get }, body: response });
      });
      request.end(body);
    });
}
