/** Where the time of a process went: the profile of `lib/profiler.ts`, by module and by function. */
import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../test/helpers/wait.js';
import type { Table } from './bench.js';

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number; columnNumber: number };
  children?: number[];
}

interface CpuProfile {
  nodes: ProfileNode[];
  samples: number[];
  timeDeltas: number[];
}

const ROWS = 25;

/** Flags that prepare a process for `profile`. */
export function profileFlags(directory: string): string[] {
  const module = new URL('./profiler.js', import.meta.url);
  module.searchParams.set('directory', directory);
  return [`--import=${module.href}`];
}

/** Profiles a process that was started with those flags for as long as `work` takes. */
export async function profile(pid: number, directory: string, title: string, work: Promise<unknown>): Promise<Table[]> {
  process.kill(pid, 'SIGUSR2');
  await work;
  process.kill(pid, 'SIGUSR2');
  await waitFor('the profile', () => existsSync(path.join(directory, 'done')), { timeoutMs: 60_000 });
  return read(JSON.parse(readFileSync(path.join(directory, 'part'), 'utf8')) as CpuProfile, title);
}

/**
 * Three tables: self time by module; the same with the time of Node and V8 attributed to the module or package that called
 * them; and the functions with the most self time. Idle time is excluded.
 */
function read({ nodes, samples, timeDeltas }: CpuProfile, title: string): Table[] {
  unbundle(nodes);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const selfOf = new Map<string, number>();
  const causedBy = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  for (const [i, id] of samples.entries()) {
    const node = byId.get(id) as ProfileNode;
    const { callFrame } = node;
    const cause = causeOf(node, byId, parents);
    // Starting and stopping a profile takes time too.
    if (callFrame.functionName === '(idle)' || cause.includes('lib/profiler')) continue;
    const us = timeDeltas[i] ?? 0;
    busy += us;
    add(selfOf, moduleOf(callFrame), us);
    add(causedBy, cause, us);
    const line = callFrame.url === '' ? '' : `:${callFrame.lineNumber + 1}`;
    add(functions, `${callFrame.functionName || '(anonymous)'}  ${moduleOf(callFrame)}${line}`, us);
  }
  const table = (what: string, of: Map<string, number>): Table => ({
    title: `${title}, ${what}`,
    columns: [what, '%'],
    rows: [...of]
      .sort((a, b) => b[1] - a[1])
      .slice(0, ROWS)
      .map(([name, us]) => [name, (100 * us) / busy]),
  });
  return [
    table('self time by module', selfOf),
    table('time by calling module', causedBy),
    table('by function', functions),
  ];
}

/** Maps each function of a bundle to the module of its source. */
function unbundle(nodes: readonly ProfileNode[]): void {
  const maps = new Map<string, SourceMap | null>();
  const mapOf = (url: string) => {
    const known = maps.get(url);
    if (known !== undefined) return known;
    const file = url.startsWith('file:') ? `${fileURLToPath(url)}.map` : '';
    const map = existsSync(file) ? new SourceMap(JSON.parse(readFileSync(file, 'utf8'))) : null;
    maps.set(url, map);
    return map;
  };
  for (const { callFrame } of nodes) {
    const entry = mapOf(callFrame.url)?.findEntry(callFrame.lineNumber, callFrame.columnNumber);
    if (!entry || !('originalSource' in entry)) continue;
    callFrame.url = entry.originalSource;
    callFrame.lineNumber = entry.originalLine;
  }
}

function add(to: Map<string, number>, name: string, us: number): void {
  to.set(name, (to.get(name) ?? 0) + us);
}

function causeOf(leaf: ProfileNode, byId: Map<number, ProfileNode>, parents: Map<number, number>): string {
  if (/^\((garbage|program)/.test(leaf.callFrame.functionName)) return leaf.callFrame.functionName;
  let outermost = leaf;
  for (let node: ProfileNode | undefined = leaf; node; node = byId.get(parents.get(node.id) ?? -1)) {
    const { url } = node.callFrame;
    if (url !== '' && !url.startsWith('node:')) return `${node.callFrame.functionName}  ${moduleOf(node.callFrame)}`;
    if (url !== '') outermost = node;
  }
  return `${outermost.callFrame.functionName}  ${moduleOf(outermost.callFrame)}`;
}

/** A package of node_modules, a file of this project, a module of Node, or the native part of Node. */
function moduleOf({ url, functionName }: ProfileNode['callFrame']): string {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  const [, inPackages] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? [];
  if (inPackages) return inPackages;
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/');
  return url.replace(/.*\/dist\/|^(?:\.\.\/)+/, '');
}
