/**
 * The dashboard, as Vite built it: one page at `/`, its files under `/assets/`. It contains no data, so it needs no token;
 * its requests do. Its screens are named behind the `#` of its URL, so that an unknown path is still a 404.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Context } from 'koa';
import { HttpProblem } from './http/problem.js';
import type { Route } from './http/route.js';

/** The output of `make web`. */
const BUILT = fileURLToPath(new URL('../web', import.meta.url));

/** Nothing inline, nothing evaluated, nothing from or to another host, and in no frame (CSP Level 3). */
const POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};
const PAGE = 'index.html';
/** Names under /assets/ contain a hash of the content, so these files never change. */
const IMMUTABLE = 'public, max-age=31536000, immutable';
const ENCODINGS = { br: '.br', gzip: '.gz' } as const;
const REVALIDATE = 'no-cache';

interface BuiltFile {
  etag: string;
  /** Uncompressed, and by the encodings that it was compressed to. */
  bytes: Partial<Record<'identity' | keyof typeof ENCODINGS, Buffer>>;
}

/** @param directory the built page; read at the first request, so that the start does not wait for it. */
export function webRoutes(directory = BUILT): Route[] {
  let files: Map<string, BuiltFile> | undefined;
  const send = (ctx: Context, name: string, caching: string) => {
    files ??= readBuilt(directory);
    const file = files.get(name);
    if (!file) throw missing(ctx, files.size === 0);
    ctx.set({ ...HEADERS, 'Cache-Control': caching, ETag: file.etag });
    ctx.vary('Accept-Encoding');
    ctx.status = 200;
    ctx.type = path.extname(name);
    if (ctx.fresh) {
      ctx.status = 304;
      return;
    }
    const encoding = ctx.acceptsEncodings('br', 'gzip', 'identity') as keyof BuiltFile['bytes'] | false;
    const bytes = encoding ? file.bytes[encoding] : undefined;
    if (bytes && encoding !== 'identity') ctx.set('Content-Encoding', encoding as string);
    ctx.body = bytes ?? file.bytes.identity;
  };
  return [
    {
      method: 'GET',
      path: '/',
      open: true,
      summary: 'The dashboard. Needs no token; its requests do.',
      answers: { 200: { description: 'A page for browsers.', type: 'text/html' } },
      handle: (ctx) => send(ctx, PAGE, REVALIDATE),
    },
    {
      method: 'GET',
      path: '/assets/:file',
      open: true,
      summary: 'The files of the dashboard. They need no token.',
      answers: {
        200: { description: 'A file.', type: 'application/octet-stream' },
        404: { description: 'No such file.' },
      },
      handle: (ctx, { file }) => send(ctx, `assets/${file}`, IMMUTABLE),
    },
  ];
}

function missing(ctx: Context, nothing: boolean): HttpProblem {
  const detail = nothing ? 'the page is not built: run make web' : `there is nothing at ${ctx.path.slice(0, 200)}`;
  return new HttpProblem(404, detail);
}

/** All built files by their paths: nothing else can be requested. */
function readBuilt(directory: string): Map<string, BuiltFile> {
  const files = new Map<string, BuiltFile>();
  let names: string[];
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch {
    return files;
  }
  const read = (name: string) => readFileSync(path.join(directory, name));
  const listed = new Set(names);
  for (const name of names) {
    if (!/\.(html|js|css|svg)$/.test(name)) continue;
    const identity = read(name);
    const bytes: BuiltFile['bytes'] = { identity };
    for (const [encoding, ending] of Object.entries(ENCODINGS)) {
      if (listed.has(name + ending)) bytes[encoding as keyof typeof ENCODINGS] = read(name + ending);
    }
    // Weak: the same for each of its encodings.
    const etag = `W/"${createHash('sha256').update(identity).digest('base64url').slice(0, 22)}"`;
    files.set(name.replaceAll(path.sep, '/'), { etag, bytes });
  }
  return files;
}
