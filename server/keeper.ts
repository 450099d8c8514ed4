/** The route that only a keeper has: the machine that it runs on, its own workers, and its queens. */
import { KeeperState } from '../wire/keeper.js';
import { answerJson, type Route } from './http/route.js';

export function keeperRoutes(state: () => KeeperState): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/keeper',
      summary: 'The devices of this machine, the workers that this keeper runs, and the queens that it knows.',
      answers: { 200: { description: 'As it is now.', schema: KeeperState } },
      handle: (ctx) => answerJson(ctx, state()),
    },
  ];
}
