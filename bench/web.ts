/**
 * The dashboard in a real Chromium: whether it stays smooth with a large swarm, and what it costs while it is open. Frames are
 * counted in the page; time and memory are measured by Chromium (`Performance.getMetrics` of its DevTools protocol).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { noChromium, startChromium } from '../test/helpers/browser.js';
import { type Answer, atMost, type Bench, type BenchInput, type Cell } from './lib/bench.js';
import { largest } from './lib/stats.js';
import { startSwarm } from './lib/swarm.js';

const HIVES = [20, 200, 1_000];
const GOAL_AT = 200;
const FRAME_MS_MAX = 50;
/** Until sparklines, images and code are loaded. */
const SETTLE_MS = 5_000;

/** As Chromium's tracing writes it; `tdur` in µs of CPU. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  tdur?: number;
  args?: { name?: string };
}

interface FrameTimes {
  frames: number;
  longestMs: number;
  p99Ms: number;
}

/** Runs only while frames are counted, since each request for a frame costs time too. */
const WATCH = `(() => {
  const gaps = [];
  let last = 0;
  let watching = true;
  const frame = (now) => {
    if (last > 0) gaps.push(now - last);
    last = now;
    if (watching) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  self.frameTimes = () => {
    watching = false;
    const sorted = gaps.sort((a, b) => a - b);
    return { frames: sorted.length, longestMs: sorted.at(-1), p99Ms: sorted[Math.floor(sorted.length * 0.99)] };
  };
})()`;

const HIDE = `Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
document.dispatchEvent(new Event('visibilitychange'))`;

export const bench: Bench = {
  question: 'Does the dashboard stay smooth with many hives, and what does it cost to keep it open?',
  run: async (input) => {
    const missing = noChromium();
    if (missing) return { tables: [], goals: [], notes: [`skipped: ${missing}`] };
    const rows: Cell[][] = [];
    let atGoal: { frames: FrameTimes; task: number; hiddenPct: number } | undefined;
    for (const hives of input.quick ? [GOAL_AT] : HIVES) {
      const { row, ...rest } = await measure(input, hives);
      rows.push(row);
      if (hives === GOAL_AT) atGoal = rest;
    }
    return answerOf(rows, atGoal);
  },
};

async function measure({ scope, progress, quick }: BenchInput, hives: number) {
  const inner = scope.inner();
  progress(`${hives} hives`);
  const ms = quick ? 5_000 : 30_000;
  const swarm = await startSwarm(inner, { hives, intervalMs: 1_000, vary: true });
  const chromium = await startChromium({ teardown: (end) => inner.onEnd(end as () => Promise<void>) });
  const { page } = await chromium.open(swarm.queen.url);
  await page
    .locator('.card')
    .nth(Math.min(hives, 300) - 1)
    .waitFor({ state: 'attached' });
  await sleep(SETTLE_MS);
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');

  const shown = await over(session, ms);
  const [frames, task] = await watched(page, () => sleep(ms));
  const [, scrollTask] = await watched(page, () => scroll(page));
  const heapMb = await heap(session);
  await page.evaluate(HIDE);
  // Long enough for the page to close its stream, and for garbage collection.
  await sleep(quick ? 7_000 : 30_000);
  const hidden = await over(session, ms);
  await inner.end();
  const row = [hives, shown.scriptMsPerS, shown.taskPct, frames.p99Ms, frames.longestMs, task, scrollTask, heapMb];
  return { row: [...row, hidden.taskPct], frames, task: Math.max(task, scrollTask), hiddenPct: hidden.taskPct };
}

/** The frames drawn during `work`, and the longest task of the page in ms of CPU: on a busy machine the two differ. */
async function watched(page: Page, work: () => Promise<void>): Promise<[FrameTimes, number]> {
  const browser = page.context().browser() as Browser;
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline'] });
  await page.evaluate(WATCH);
  await work();
  const frames = await page.evaluate<FrameTimes>('frameTimes()');
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const mains = new Set(
    trace.traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = trace.traceEvents.filter(({ name, pid, tid }) => name === 'RunTask' && mains.has(`${pid} ${tid}`));
  return [frames, largest(tasks.map(({ tdur = 0 }) => tdur / 1000))];
}

/** Script time and total time of the page's main thread during `ms`. */
async function over(session: CDPSession, ms: number): Promise<{ scriptMsPerS: number; taskPct: number }> {
  const before = await metrics(session);
  await sleep(ms);
  const after = await metrics(session);
  const spent = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
  const s = spent('Timestamp');
  return { scriptMsPerS: (spent('ScriptDuration') * 1000) / s, taskPct: (spent('TaskDuration') * 100) / s };
}

async function metrics(session: CDPSession): Promise<Record<string, number>> {
  const { metrics } = await session.send('Performance.getMetrics');
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

async function heap(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage');
  return ((await metrics(session)).JSHeapUsedSize ?? Number.NaN) / 1024 / 1024;
}

/** From the top of the page towards its end, so that new parts have to be laid out. */
async function scroll(page: Page): Promise<void> {
  for (let i = 0; i < 40; i += 1) {
    await page.mouse.wheel(0, 400);
    await sleep(50);
  }
}

function answerOf(rows: Cell[][], atGoal: { frames: FrameTimes; task: number; hiddenPct: number } | undefined): Answer {
  return {
    tables: [
      {
        title: 'A page that shows a swarm at 1 Hz, all numbers changing',
        columns: [
          ...['hives', 'script ms/s', 'main thread %', 'frame p99 ms', 'longest frame ms', 'longest task CPU ms'],
          ...['scrolling, CPU ms', 'JS heap MiB', 'hidden %'],
        ],
        rows,
      },
    ],
    goals: atGoal
      ? [
          atMost(`longest frame, ${GOAL_AT} hives`, atGoal.frames.longestMs, FRAME_MS_MAX, 'ms'),
          atMost(`longest task, ${GOAL_AT} hives, scrolling too`, atGoal.task, FRAME_MS_MAX, 'ms of CPU'),
          atMost('a hidden tab', atGoal.hiddenPct, 0.5, '% of a core'),
        ]
      : [],
    notes: [
      'headless Chromium draws without a GPU, on the same cores as the queen and the hives',
      'hidden: simulated, because a page in headless Chromium is never hidden',
      'of a swarm of more than 300, the first 300 cards are drawn',
    ],
  };
}
