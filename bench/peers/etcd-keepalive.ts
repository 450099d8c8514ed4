/**
 * etcd's API for renewing leases: LeaseKeepAlive of its API v3, a bidirectional stream over HTTP/2 (gRPC). A message has two
 * numbers, so it is encoded by hand.
 */
import http2 from 'node:http2';
import { offer } from '../lib/child.js';
import { evenly } from '../lib/schedule.js';

interface Target {
  url: string;
  /** Leases are numbered from 1 to this. */
  count: number;
  streams: number;
}

const PATH = '/etcdserverpb.Lease/LeaseKeepAlive';
let answers = 0;
let late = () => 0;

/** A gRPC message (not compressed, length) that holds one protobuf field: 1, varint. */
function messageOf(lease: number): Buffer {
  const varint: number[] = [];
  for (let rest = lease; ; rest = Math.floor(rest / 128)) {
    varint.push(rest < 128 ? rest : (rest % 128) | 128);
    if (rest < 128) break;
  }
  return Buffer.from([0, 0, 0, 0, varint.length + 1, 8, ...varint]);
}

/** One stream, and a call for each answer on it. */
function open(session: http2.ClientHttp2Session, onAnswer: () => void): http2.ClientHttp2Stream {
  const stream = session.request({
    ...{ ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' },
  });
  let bytes = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
      bytes = bytes.subarray(5 + bytes.readUInt32BE(1));
      answers += 1;
      onAnswer();
    }
  });
  return stream;
}

/** Eight streams share a connection. */
function openAll({ url, streams }: Target, onAnswer: (stream: http2.ClientHttp2Stream) => void) {
  const sessions = Array.from({ length: Math.ceil(streams / 8) }, () => http2.connect(url));
  const opened = Array.from({ length: streams }, (_, i) => {
    const stream: http2.ClientHttp2Stream = open(sessions[i % sessions.length] as http2.ClientHttp2Session, () =>
      onAnswer(stream),
    );
    return stream;
  });
  return { opened, close: () => sessions.forEach((session) => void session.destroy()) };
}

const offered = {
  saturate: async ({ ms, ...target }: Target & { ms: number }) => {
    let done = 0;
    const next = () => messageOf((done++ % target.count) + 1);
    const { opened, close } = openAll(target, (stream) => stream.write(next()));
    for (const stream of opened) stream.write(next());
    await new Promise((resolve) => setTimeout(resolve, ms));
    close();
    return taken();
  },
  steady: ({ perSecond, ...target }: Target & { perSecond: number }) => {
    const { opened } = openAll(target, () => {});
    late = evenly(perSecond, (done) => opened[done % opened.length]?.write(messageOf((done % target.count) + 1)));
  },
  taken,
};

function taken(): { answers: number; failed: number; lateMs: number } {
  const since = answers;
  answers = 0;
  return { answers: since, failed: 0, lateMs: late() };
}

export type EtcdKeepalive = typeof offered;
offer(offered);
