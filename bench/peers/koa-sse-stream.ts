/** koa-sse-stream: `ctx.sse.send` for each reader. It does not serialise, so each event is serialised once before. */
import Koa from 'koa';
import koaSse from 'koa-sse-stream';
import { servePeer } from './feed.js';

interface Sse {
  send: (message: { event: string; data: string }) => void;
  on: (event: 'close', listener: () => void) => void;
}

const readers = new Set<Sse>();
const app = new Koa();
app.on('error', () => {});
app.use(koaSse({ maxClients: 10_000, pingInterval: 60_000 }));
app.use((ctx) => {
  const { sse } = ctx as unknown as { sse: Sse };
  readers.add(sse);
  sse.on('close', () => readers.delete(sse));
});

servePeer(app.callback(), (event) => {
  const data = JSON.stringify(event);
  for (const sse of readers) sse.send({ event: 'heartbeat', data });
});
