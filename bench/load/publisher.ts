/** Publishes events by POST, evenly spread. */
import http from 'node:http';
import { offer } from '../lib/child.js';
import { peerEvent } from '../lib/event.js';
import { evenly } from '../lib/schedule.js';

const CONNECTIONS = 8;
const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
let failed = 0;

const offered = {
  start: ({ url, perSecond }: { url: string; perSecond: number }) => {
    evenly(perSecond, (n) => {
      const body = JSON.stringify(peerEvent(`hive-${n % 10}`, new Date().toISOString()));
      const request = http.request(url, {
        method: 'POST',
        agent,
        headers: { 'content-length': Buffer.byteLength(body), 'x-eventsource-event': 'heartbeat' },
      });
      request.on('error', () => {
        failed += 1;
      });
      request.on('response', (response) => {
        response.resume();
        if ((response.statusCode ?? 500) >= 300) failed += 1;
      });
      request.end(body);
    });
  },
  failed: () => failed,
};

export type Publisher = typeof offered;
offer(offered);
