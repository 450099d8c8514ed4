/** The whole swarm on one page. */
import { host } from '../data/keeper.js';
import { hives, loaded } from '../data/swarm.js';
import { Attention } from '../parts/attention.js';
import { EmptySwarm } from '../parts/empty-swarm.js';
import { HiveCards } from '../parts/hive-cards.js';
import { Totals } from '../parts/totals.js';

export function SwarmScreen() {
  if (!loaded.value) return <p class="waiting-first">Asking the {host} for the swarm …</p>;
  if (hives.value.length === 0) {
    return (
      <>
        <Attention />
        <EmptySwarm />
      </>
    );
  }
  return (
    <>
      <h1 class="sr">Swarm</h1>
      <Totals />
      <Attention />
      <HiveCards />
    </>
  );
}
