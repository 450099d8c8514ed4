/** Reads many streams by one of several clients, and counts events: the part of the queen's cost that is reading. */
import http from 'node:http';
import net from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { createParser } from 'eventsource-parser';
import fetch from 'node-fetch';
import { offer } from '../lib/child.js';

export type Client = 'one buffer' | 'sockets' | 'http' | 'node-fetch';

let events = 0;
const OPENING_MAX = 50;

function countEvent(data: string): void {
  const { type } = JSON.parse(data) as { type?: string };
  if (type === 'telemetry') events += 1;
}

function sseParser(): (chunk: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  const parser = createParser({ onEvent: ({ data }) => countEvent(data) });
  return (chunk) => parser.feed(decoder.write(chunk));
}

/** Each event arrives as one chunk, so that its line of data can be cut out without parsing HTTP. */
function lineReader(): (chunk: string) => void {
  let text = '';
  return (chunk) => {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const at = text.indexOf('data: ');
      if (at >= 0 && at < end) countEvent(text.slice(at + 6, end));
      text = text.slice(end + 2);
    }
  };
}

function openSocket(url: string, options: Partial<net.TcpNetConnectOpts>): Promise<net.Socket> {
  const { hostname, port, pathname, host } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...options, port: Number(port), host: hostname }, () => {
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      resolve(socket);
    });
    socket.on('error', reject);
  });
}

/** Shared by all sockets: without it Node allocates 64 KiB for each read. */
const buffer = Buffer.allocUnsafe(64 * 1024);

const clients: Record<Client, (url: string) => Promise<unknown>> = {
  'one buffer': (url) => {
    const decoder = new StringDecoder('utf8');
    const read = lineReader();
    const callback = (size: number) => {
      read(decoder.write(buffer.subarray(0, size)));
      return true;
    };
    return openSocket(url, { onread: { buffer, callback } });
  },
  sockets: async (url) => (await openSocket(url, {})).setEncoding('utf8').on('data', lineReader()),
  http: (url) =>
    new Promise((resolve, reject) => {
      const agent = new http.Agent({ keepAlive: false });
      http
        .get(url, { agent }, (response) => {
          response.on('data', sseParser());
          resolve(undefined);
        })
        .on('error', reject);
    }),
  'node-fetch': async (url) => {
    const response = await fetch(url, { agent: new http.Agent({ keepAlive: false }), compress: false });
    const parse = sseParser();
    const read = async () => {
      for await (const chunk of response.body ?? []) parse(Buffer.from(chunk));
    };
    void read();
  },
};

const offered = {
  read: async ({ client, urls }: { client: Client; urls: string[] }) => {
    for (let i = 0; i < urls.length; i += OPENING_MAX) {
      await Promise.all(urls.slice(i, i + OPENING_MAX).map(clients[client]));
    }
  },
  events: () => events,
};

export type Clients = typeof offered;
offer(offered);
