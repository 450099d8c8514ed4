/** The state of the keeper that served this page, if one did: its machine, its workers, and the queens that it knows. */
import { computed, signal } from '@preact/signals';
import type { KeeperState, SeenQueen } from '../../wire/keeper.js';
import { needsDecision } from './hive.js';

/** Null on a queen's page. */
export const keeper = signal<KeeperState | null>(null);

/** Its own workers that crashed or are orphaned. */
export const ownTroubled = computed(() => (keeper.value?.workers ?? []).filter(needsDecision));

/** Which kind of process serves the page. */
export const host = computed(() => (keeper.value === null ? 'queen' : 'keeper'));

/** The queens in a few words, those that are online first. */
export const queenWords = computed(() => {
  const queens = keeper.value?.queens ?? [];
  const named = (one: SeenQueen) => one.queen_id ?? one.url;
  const online = queens.filter(({ state }) => state === 'online');
  if (online.length === 1) return `with ${named(online[0] as SeenQueen)}`;
  if (online.length > 1) return `with ${online.length} queens`;
  const lost = queens.find(({ state }) => state === 'lost');
  if (lost) return `${named(lost)} is lost`;
  return queens.length > 0 ? 'looking for the queen' : 'no queen';
});
