/** Pages are named behind the #: the server answers one page, and unknown paths stay unknown. */
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

/** Where each page in this tab's history was scrolled to, by the number that its entry has. */
const scrolled = new Map<number, number>();
let entry = 0;
let entries = 0;

/** Numbers the entry of now and says whether it is new; those that Back and Forward lead to have their numbers. */
function enter(): boolean {
  const known: unknown = history.state?.entry;
  entry = typeof known === 'number' ? known : entries + 1;
  entries = Math.max(entries, entry);
  if (known !== entry) history.replaceState({ entry }, '');
  return known !== entry;
}

export function startRoutes(): void {
  enter();
  // The browser would restore it before the page is drawn; of a page that is loaded anew it knows better.
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
    // What had the focus is gone with its page: whoever listens or tabs goes on at the new one's beginning …
    document.getElementById('main')?.focus({ preventScroll: true });
    requestAnimationFrame(() => {
      scrollTo(0, top);
      // … or, back on the page before, at the link by which they left it.
      if (entry < before) linkTo(new URL(oldURL).hash)?.focus();
    });
  });
}

/** Of several, such as one in a list of troubles and one on a card, the one that is in view. */
function linkTo(hash: string): HTMLAnchorElement | undefined {
  const links = [...document.querySelectorAll<HTMLAnchorElement>('#main a')].filter((link) => link.hash === hash);
  const isInView = (link: HTMLElement) => {
    const { top } = link.getBoundingClientRect();
    return top >= 0 && top < innerHeight;
  };
  return links.find(isInView) ?? links.at(-1);
}
