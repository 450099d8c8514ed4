/** Screens are named behind the #: the server has one page, so that unknown paths are still a 404. */
import { signal } from '@preact/signals';

export type ScreenRoute =
  | { page: 'swarm' }
  | { page: 'hive'; id: string }
  | { page: 'workers' }
  | { page: 'chat' }
  | { page: 'unknown'; hash: string };

export const route = signal<ScreenRoute>(parse(location.hash));

export const hivePath = (id: string): string => `#/hives/${encodeURIComponent(id)}`;

function parse(hash: string): ScreenRoute {
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

/** The scroll position of each screen in this tab's history, by the number of its entry. */
const scrolled = new Map<number, number>();
let entry = 0;
let entries = 0;

/** Numbers the current history entry and returns whether it is new: Back and Forward lead to numbered entries. */
function enter(): boolean {
  const known: unknown = history.state?.entry;
  entry = typeof known === 'number' ? known : entries + 1;
  entries = Math.max(entries, entry);
  if (known !== entry) history.replaceState({ entry }, '');
  return known !== entry;
}

export function startRoutes(): void {
  enter();
  // The browser would restore the position before the screen is drawn. After a reload its own way is better.
  addEventListener('pageshow', () => {
    history.scrollRestoration = 'manual';
  });
  addEventListener('pagehide', () => {
    history.scrollRestoration = 'auto';
  });
  addEventListener('scroll', () => scrolled.set(entry, scrollY), { passive: true });
  addEventListener('hashchange', ({ oldURL }) => {
    const before = entry;
    const top = enter() ? 0 : (scrolled.get(entry) ?? 0);
    route.value = parse(location.hash);
    // The focused element has gone with its screen: keyboard and screen reader continue at the beginning of the new one …
    document.getElementById('main')?.focus({ preventScroll: true });
    requestAnimationFrame(() => {
      scrollTo(0, top);
      // … or, after Back, at the link by which the screen was left.
      if (entry < before) linkTo(new URL(oldURL).hash)?.focus();
    });
  });
}

/** Of several links, such as one in the list of problems and one on a card, the one that is in view. */
function linkTo(hash: string): HTMLAnchorElement | undefined {
  const links = [...document.querySelectorAll<HTMLAnchorElement>('#main a')].filter((link) => link.hash === hash);
  const isInView = (link: HTMLElement) => {
    const { top } = link.getBoundingClientRect();
    return top >= 0 && top < innerHeight;
  };
  return links.find(isInView) ?? links.at(-1);
}
