/** The last minutes of one hive, or of all. */
import { Type } from '@sinclair/typebox';
import type { Context } from 'koa';
import type { Fleet } from '../stores/fleet.js';
import type { History } from '../stores/history.js';
import type { Now } from '../stores/now.js';
import { HISTORY, HistoryList, HiveHistory } from '../wire/history.js';
import { wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';

const LAST_S_MAX = (HISTORY.stepMs * HISTORY.pointsMax) / 1000;

export interface HistoryRoutesInput {
  fleet: Fleet;
  history: History;
  now: () => Now;
}

export function historyRoutes({ fleet, history, now }: HistoryRoutesInput): Route[] {
  const query = {
    last_s: {
      description: `Seconds back from now; ${LAST_S_MAX} by default.`,
      schema: Type.Integer({ minimum: 1, maximum: LAST_S_MAX }),
    },
  };
  return [
    {
      method: 'GET',
      path: '/v1/hives/:id/history',
      summary: 'The last ten minutes of one hive, in means of five seconds.',
      query,
      answers: {
        200: { description: 'Its measurements.', schema: HiveHistory },
        404: { description: 'No such hive.' },
        422: { description: 'last_s is wrong.' },
      },
      handle: (ctx, { id = '' }) => {
        if (!fleet.hive(id)) throw new HttpProblem(404, `no hive ${id.slice(0, 128)}`);
        answerJson(ctx, historyOf(history, id, pointsOf(ctx), now()));
      },
    },
    {
      method: 'GET',
      path: '/v1/history',
      summary: 'The last minutes of every hive that streams.',
      query,
      answers: {
        200: { description: 'Their measurements.', schema: HistoryList },
        422: { description: 'last_s is wrong.' },
      },
      handle: (ctx) => {
        const [points, at] = [pointsOf(ctx), now()];
        const streaming = fleet.hives().filter(({ state }) => state === 'streaming');
        answerJson(ctx, { histories: streaming.map(({ hive_id }) => historyOf(history, hive_id, points, at)) });
      },
    },
  ];
}

function historyOf(history: History, hiveId: string, points: number, now: Now): HiveHistory {
  const { untilMs, ...series } = history.of(hiveId, points, now.ms);
  return { ...series, until: new Date(Date.parse(now.iso) + untilMs - now.ms).toISOString() };
}

/** @throws HttpProblem 422 */
function pointsOf(ctx: Context): number {
  const { last_s: text = String(LAST_S_MAX) } = ctx.query;
  const seconds = typeof text === 'string' && /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > LAST_S_MAX) throw wrongField('/last_s', `expected seconds from 1 to ${LAST_S_MAX}`);
  return Math.ceil((seconds * 1000) / HISTORY.stepMs);
}
