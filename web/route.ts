/** Pages are named behind the #: the server answers one page, and unknown paths stay unknown. */
import { signal } from '@preact/signals';

export type Route =
  | { page: 'swarm' }
  | { page: 'hive'; id: string }
  | { page: 'workers' }
  | { page: 'chat' }
  | { page: 'unknown'; hash: string };

export const route = signal<Route>(parse(location.hash));

export const hivePath = (id: string): string => `#/hives/${encodeURIComponent(id)}`;

function parse(hash: string): Route {
  const [page = '', id] = hash.replace(/^#\/?/, '').split('/');
  if (page === '') return { page: 'swarm' };
  if (page === 'workers' && id === undefined) return { page: 'workers' };
  if (page === 'chat' && id === undefined) return { page: 'chat' };
  if (page !== 'hives' || !id) return { page: 'unknown', hash };
  try {
    return { page: 'hive', id: decodeURIComponent(id) };
  } catch {
    return { page: 'unknown', hash };
  }
}

export function startRoutes(): void {
  addEventListener('hashchange', () => {
    route.value = parse(location.hash);
    scrollTo(0, 0);
  });
}
