/** What a keeper says of itself, where one served this page: its machine, its workers, and the queens that it knows. */
import { computed, signal } from '@preact/signals';
import type { KeeperState, SeenQueen } from '../../wire/keeper.js';
import { needsSomebody } from './hive.js';

/** Null on a queen's page. */
export const keeper = signal<KeeperState | null>(null);

/** Its own workers that crashed, or whose keeper was another one. */
export const ownTroubled = computed(() => (keeper.value?.workers ?? []).filter(needsSomebody));

/** Who stands behind the page, in words. */
export const host = computed(() => (keeper.value === null ? 'queen' : 'keeper'));

/** The queens in a few words: one that is there before others. */
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
