/** What all commands that query a queen share: flags, client, exit codes, and messages for errors. */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { type Client, createClient, type FetchLike, RbeeProblem, RbeeUnreachable } from '../client/index.js';
import { PORT } from '../wire/status.js';
import { parseUrl, UsageError } from '../wiring/options.js';
import { clean } from '../wiring/terminal-text.js';
import { createFetch } from './fetch.js';

/** 0 done, 1 failed or refused, 2 wrong usage, 3 nothing answers, 130 Ctrl-C. */
export const QUERY_EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;

export interface QueryOptions {
  url: string;
  token?: string;
  tlsCa?: string;
  json?: boolean;
}

export interface Query {
  client: Client;
  json: boolean;
  color: boolean;
  /** Columns of the terminal; undefined when it is none. */
  width: number | undefined;
  /** The queen's clock, from the Date header of its latest answer: ages are computed on that clock only. */
  queenNowMs(): number;
}

/** A command that queries a queen, with the flags that all of them have. */
export function query(program: Command, name: string, description: string, examples: readonly string[]): Command {
  const option = (flags: string, about: string, env: string) => new Option(flags, about).env(env);
  return program
    .command(name)
    .description(description)
    .showHelpAfterError(`(rbee ${name} --help explains it)`)
    .addOption(
      option('--url <url>', 'where the queen listens', 'RBEE_URL')
        .argParser(parseUrl)
        .default(`http://127.0.0.1:${PORT.queen}`),
    )
    .addOption(
      option(
        '--token <token>',
        'the token of the swarm; other users of this machine can read flags, but not the variable',
        'RBEE_TOKEN',
      ),
    )
    .addOption(
      option('--tls-ca <file>', 'PEM file of an authority to trust in addition to the usual ones', 'RBEE_TLS_CA'),
    )
    .option('--json', name === 'watch' ? 'one event per line, as JSON' : 'the answer as JSON', false)
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`.trimEnd()).join('\n')}`)
    .addHelpText('after', '\nExit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 nothing answers.')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? QUERY_EXIT.ok : QUERY_EXIT.usage));
}

/** Runs a command; an error becomes one sentence on stderr and an exit code. */
export function act(run: (query: Query) => Promise<void>): (options: QueryOptions) => Promise<void> {
  return async (options) => {
    // When the reader of stderr has gone, the command goes on.
    process.stderr.on('error', () => {});
    let asking: Query | undefined;
    try {
      asking = await openQuery(options);
      await run(asking);
    } catch (error) {
      const { message, exitCode } = explain((asking && (await otherKind(error, asking.client))) ?? error, options.url);
      process.stderr.write(`${clean(message)}\n`);
      process.exitCode = exitCode;
    }
  };
}

/** A missing route means that another kind of process answers at this URL; null for all other errors. */
async function otherKind(error: unknown, client: Client): Promise<UsageError | null> {
  if (!(error instanceof RbeeProblem) || error.status !== 404 || !error.detail.startsWith('there is nothing at'))
    return null;
  const info = await client.info().catch(() => null);
  return (
    info &&
    new UsageError(`${client.url} is a ${info.name}, which has no such route: give the URL of a queen with --url`)
  );
}

/** The client that the flags describe. @throws UsageError */
export async function openQuery({ url, token, tlsCa, json }: QueryOptions): Promise<Query> {
  const base = createFetch(tlsCa && url.startsWith('https:') ? readAuthority(tlsCa) : null);
  let aheadMs = 0;
  const timed: FetchLike = async (target, init) => {
    const response = await base(target, init);
    const date = Date.parse(response.headers.get('date') ?? '');
    if (!Number.isNaN(date)) aheadMs = date - Date.now();
    return response;
  };
  let client: Client;
  try {
    client = createClient({ url, token, fetch: timed });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { isTTY, columns } = process.stdout;
  const width = isTTY === true ? columns || 80 : undefined;
  return {
    client,
    json: json === true,
    color: hasColor(process.stdout),
    width,
    queenNowMs: () => Date.now() + aheadMs,
  };
}

/** Colours are for terminals only, and can be switched off. */
export const hasColor = (stream: { isTTY?: boolean }): boolean =>
  stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';

function readAuthority(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--tls-ca ${file} cannot be read: ${(error as Error).message}`);
  }
}

export function print(lines: readonly string[]): void {
  endWithReader();
  process.stdout.write(`${lines.join('\n')}\n`);
}

let endsWithReader = false;
/** Ends quietly when the reader of stdout (`| head`) has gone; any other failure, such as a full disk, is reported. */
export function endWithReader(): void {
  if (!endsWithReader) {
    process.stdout.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(QUERY_EXIT.ok);
      process.stderr.write(`cannot write the output: ${error.message}\n`);
      process.exit(QUERY_EXIT.failed);
    });
  }
  endsWithReader = true;
}

/** Nothing listens at that address. A connection that breaks off later has another message. */
const NOT_LISTENING = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);
const UNTRUSTED = /CERT|SIGNATURE|ISSUER/;

/** One sentence on what happened and what to do, and the exit code. */
export function explain(error: unknown, url: string): { message: string; exitCode: number } {
  if (error instanceof UsageError) return { message: error.message, exitCode: QUERY_EXIT.usage };
  if (error instanceof RbeeUnreachable) {
    const { code } = error;
    const exitCode = QUERY_EXIT.unreachable;
    if (code === 'TIMEOUT')
      return { message: `${error.message}: it is overloaded, or this is the wrong port`, exitCode };
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
      return { message: `the certificate of ${url} is for another name: use that name in --url`, exitCode };
    }
    if (code && UNTRUSTED.test(code)) {
      const message = `the certificate of ${url} is not trusted (${code}): give its authority with --tls-ca or RBEE_TLS_CA`;
      return { message, exitCode };
    }
    if (!NOT_LISTENING.has(code ?? '')) return { message: error.message, exitCode };
    const what = code === 'ECONNREFUSED' ? `nothing answers at ${url}` : error.message;
    return { message: `${what} — is the queen running? Start it with: rbee queen`, exitCode };
  }
  const exitCode = QUERY_EXIT.failed;
  if (!(error instanceof RbeeProblem))
    return { message: error instanceof Error ? error.message : String(error), exitCode };
  const fields = error.errors.map(({ pointer, detail }) => ` ${pointer}: ${detail}.`).join('');
  return { message: `${error.detail}${fields && `.${fields}`}`, exitCode };
}
