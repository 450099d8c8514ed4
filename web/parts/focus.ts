/**
 * A click may remove the focused element: a hive is forgotten, a worker dismissed. The focus then moves to what took its
 * place in the same list or table, so that keyboard users can continue there.
 */
const FOCUSABLE =
  'a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), summary, [tabindex="0"]';

/** For each ancestor of the focused element, from the inside: its index among the focusable elements there. */
let around: { element: HTMLElement; index: number }[] = [];
let last: HTMLElement | null = null;

const focusables = (element: HTMLElement) => [...element.querySelectorAll<HTMLElement>(FOCUSABLE)];

function remember(target: HTMLElement): void {
  last = target;
  around = [];
  for (let element = target.parentElement; element && element !== document.body; element = element.parentElement) {
    around.push({ element, index: focusables(element).indexOf(target) });
    if (element.id === 'main') break;
  }
}

function restore(): void {
  if (!last || last.isConnected || document.activeElement !== document.body) return;
  const kept = around.find(({ element }) => element.isConnected);
  const list = kept && kept.element.id !== 'main' ? focusables(kept.element) : [];
  const next = list[Math.min(kept?.index ?? 0, list.length - 1)] ?? document.getElementById('main');
  next?.focus({ preventScroll: next.id === 'main' });
}

export function startFocus(): void {
  addEventListener('focusin', ({ target }) => remember(target as HTMLElement));
  new MutationObserver(restore).observe(document.body, { childList: true, subtree: true });
}
