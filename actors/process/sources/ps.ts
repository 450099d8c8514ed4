/** The processes of workers from one `ps` each time: on macOS, and systems without proc(5). It reports no I/O. */
import { findTool, runTool } from '../../hive/gpus/vendor.js';
import type { ProcessSource, ProcessUsage, Target } from './source.js';

const TIMEOUT_MS = 5_000;

interface Row {
  parent: number;
  cpuMs: number;
  rssBytes: number;
  uptimeS: number;
}

/** @param path where `ps` is looked for, in the form of the environment variable PATH */
export function psSource({ path = process.env.PATH ?? '' } = {}): ProcessSource {
  const abort = new AbortController();
  let tool: Promise<string | undefined> | undefined;
  return {
    read: async (targets) => {
      tool ??= findTool('ps', path);
      const file = await tool;
      if (file === undefined) throw new Error('there is no ps on the PATH');
      const args = ['-axo', 'pid=,ppid=,time=,rss=,etime='];
      const rows = parseRows(await runTool({ file, args, timeoutMs: TIMEOUT_MS, signal: abort.signal }));
      return usages(targets, rows);
    },
    close: () => abort.abort(),
  };
}

function parseRows(text: string): Map<number, Row> {
  const rows = new Map<number, Row>();
  for (const line of text.split('\n')) {
    const [pid = '', parent, time = '', rss, elapsed = ''] = line.trim().split(/\s+/);
    if (!/^\d+$/.test(pid)) continue;
    rows.set(Number(pid), {
      parent: Number(parent),
      cpuMs: seconds(time) * 1000,
      rssBytes: Number(rss) * 1024,
      uptimeS: seconds(elapsed),
    });
  }
  return rows;
}

function usages(targets: Target[], rows: Map<number, Row>): Map<number, ProcessUsage> {
  const childrenOf = new Map<number, number[]>();
  for (const [pid, { parent }] of rows) childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), pid]);
  return new Map(
    targets.flatMap(({ pid }) => {
      const leader = rows.get(pid);
      if (!leader) return [];
      const pids = [pid];
      for (const member of pids) pids.push(...(childrenOf.get(member) ?? []));
      const members = pids.flatMap((member) => rows.get(member) ?? []);
      const usage: ProcessUsage = {
        cpuMs: members.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
        rssBytes: members.reduce((sum, { rssBytes }) => sum + rssBytes, 0),
        readBytes: null,
        writtenBytes: null,
        uptimeS: leader.uptimeS,
        pids,
      };
      return [[pid, usage] as const];
    }),
  );
}

/** `[[dd-]hh:]mm:ss[.cc]`, as macOS and procps print it. */
function seconds(text: string): number {
  const [days, clock = ''] = text.includes('-') ? text.split('-') : ['0', text];
  return clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0) + Number(days) * 86_400;
}
