/** Flags that every process has, each with its environment variable, and the messages for wrong values. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defaultStateDir } from '../actors/process/state-dir.js';
import { parseTokens, TOKEN_CHARS_MIN } from '../server/http/auth.js';
import { isId } from '../wire/status.js';
import { hostOf, isLoopback, normaliseUrl } from '../wire/url.js';

/** The command line is wrong; the message says what to change. Exit code 2. */
export class UsageError extends Error {}

export interface ProcessOptions {
  bind: string;
  port: number;
  advertiseUrl?: string;
  token?: string;
  tlsCert?: string;
  tlsKey?: string;
  tlsCa?: string;
  allowHost: string[];
  allowOrigin: string[];
  stateDir: string;
  logLevel: string;
  logFormat: 'text' | 'json';
  inspect: boolean;
  /** Milliseconds. */
  grace: number;
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** Collects a flag that may be given several times, or the values of an environment variable separated by commas. */
export function list<T>(parse: (text: string) => T): (text: string, before: T[] | undefined) => T[] {
  let started = false;
  return (text, before) => {
    const values = text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map(parse);
    const earlier = started ? (before ?? []) : [];
    started = true;
    return [...earlier, ...values];
  };
}

export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('expected a port, 0 to 65535.');
  return port;
}

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('expected a number from 1 to 999999.');
  return Number(text);
}

export function parseNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`expected a number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** `500ms`, `2s`, `1m` as whole milliseconds. */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text.trim()) ?? [];
  if (amount === undefined) throw new InvalidArgumentError('expected a duration such as 500ms, 2s or 1m.');
  return Math.round(Number(amount) * { ms: 1, s: 1000, m: 60_000 }[unit as 'ms' | 's' | 'm']);
}

export function parseUrl(text: string): string {
  const url = normaliseUrl(text);
  if (!url.ok) throw new InvalidArgumentError(`${url.detail}.`);
  return url.url;
}

export function parseId(text: string): string {
  if (!isId(text)) throw new InvalidArgumentError('expected 1 to 64 letters, digits, ".", "_" or "-".');
  return text;
}

function parseOrigin(text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : 'null';
  if (origin === 'null') throw new InvalidArgumentError('expected an origin such as http://localhost:5173.');
  return origin;
}

export function parseLabel(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at > 64 || text.length - at > 256) throw new InvalidArgumentError('expected name=value.');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `rbee up` has it, too. */
export const graceOption = (): Option =>
  new Option(
    '--grace <duration>',
    'how long running answers of models may take to finish when the process ends; a second signal ends it at once',
  )
    .env('RBEE_GRACE')
    .argParser(parseDuration)
    .default(30_000, '30s');

/** The shared flags. @param defaultPort a port, or text on how one is found; then `port` may be undefined */
export function addProcessOptions(command: Command, defaultPort: number | string): Command {
  const option = (flags: string, description: string, env: string) => new Option(flags, description).env(`RBEE_${env}`);
  return command
    .addOption(
      option('--port <port>', 'port to listen on; 0 picks a free one', 'PORT')
        .argParser(parsePort)
        .default(...defaultOf(defaultPort)),
    )
    .addOption(
      option('--bind <address>', 'address to listen on; any but loopback requires a token', 'BIND').default(
        '127.0.0.1',
      ),
    )
    .addOption(
      option(
        '--advertise-url <url>',
        'URL that others reach this process by, if not by its own address',
        'ADVERTISE_URL',
      ).argParser(parseUrl),
    )
    .addOption(
      option(
        '--token <token>',
        'secret that callers must send, of 16 characters or more beyond loopback; two, separated by a comma, while it is replaced',
        'TOKEN',
      ),
    )
    .addOption(option('--tls-cert <file>', 'PEM certificate: serve HTTPS', 'TLS_CERT'))
    .addOption(option('--tls-key <file>', 'PEM key of the certificate', 'TLS_KEY'))
    .addOption(option('--tls-ca <file>', 'PEM certificate authority to trust in addition to the usual ones', 'TLS_CA'))
    .addOption(
      option('--allow-host <name>', 'further host name of this process (repeatable)', 'ALLOW_HOST')
        .argParser(list((name) => name.toLowerCase()))
        .default([], 'none'),
    )
    .addOption(
      option('--allow-origin <origin>', 'origin whose web pages may send requests (repeatable)', 'ALLOW_ORIGIN')
        .argParser(list(parseOrigin))
        .default([], 'none'),
    )
    .addOption(
      option('--state-dir <dir>', 'where to keep what must survive a restart', 'STATE_DIR').default(
        defaultStateDir(),
        '$XDG_STATE_HOME/rbee, or ~/.local/state/rbee',
      ),
    )
    .addOption(
      option('--log-level <level>', 'how much to log on stderr', 'LOG_LEVEL').choices(LOG_LEVELS).default('info'),
    )
    .addOption(
      option('--log-format <format>', 'for people or for programs', 'LOG_FORMAT')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addOption(graceOption())
    .addOption(
      option('--inspect', 'serve /inspect: the live state machines, in Stately Inspector', 'INSPECT').default(false),
    );
}

const defaultOf = (port: number | string): [unknown, string?] =>
  typeof port === 'number' ? [port] : [undefined, port];

/** For every process that others find in the registry. */
export function registryOption(): Option {
  return new Option('--registry-url <url>', 'registry to be listed in, and to find other processes in')
    .env('RBEE_REGISTRY_URL')
    .argParser(parseUrl);
}

export interface Security {
  tokens: string[];
  tls: { cert: string; key: string } | null;
  ca: string | null;
}

/** The host names of a process, in addition to its addresses. */
export const allowedHosts = ({ allowHost, advertiseUrl }: ProcessOptions): string[] => [
  ...allowHost,
  ...(advertiseUrl ? [hostOf(advertiseUrl)] : []),
];

/** Reads the files, and checks that a process that other machines can reach has a safe token. @throws UsageError */
export function securityOf({ bind, token, tlsCert, tlsKey, tlsCa }: ProcessOptions): Security {
  const tokens = parseTokens(token);
  if (!isLoopback(bind) && tokens.length === 0) {
    throw new UsageError(
      `--bind ${bind} lets other machines connect, and requires a token: set --token or RBEE_TOKEN (for example to the output of: openssl rand -hex 32), the same on all of them`,
    );
  }
  if (!isLoopback(bind) && tokens.some((one) => one.length < TOKEN_CHARS_MIN)) {
    throw new UsageError(
      `--bind ${bind} lets other machines connect, and a token of fewer than ${TOKEN_CHARS_MIN} characters can be guessed: make one with openssl rand -hex 32`,
    );
  }
  if (tokens.length > 2) throw new UsageError('--token takes one token, or two while it is replaced');
  if (tokens.some((one) => /[^\x21-\x7e]/.test(one))) {
    throw new UsageError('--token may contain visible ASCII characters only, and no space');
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new UsageError('--tls-cert and --tls-key go together');
  return {
    tokens,
    tls: tlsCert && tlsKey ? { cert: readPem('--tls-cert', tlsCert), key: readPem('--tls-key', tlsKey) } : null,
    ca: tlsCa ? readPem('--tls-ca', tlsCa) : null,
  };
}

function readPem(flag: string, file: string): string {
  try {
    const text = readFileSync(file, 'utf8');
    if (!text.includes('-----BEGIN ')) throw new Error('it is not a PEM file');
    return text;
  } catch (error) {
    throw new UsageError(`${flag} ${file} cannot be used: ${(error as Error).message}`);
  }
}
