/**
 * What has the focus may be removed by its own click: a hive that is forgotten, a worker that is dismissed. The focus then
 * goes to what took its place in the same list or table, so that whoever uses the keyboard goes on there.
 */
const FOCUSABLE =
  'a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), summary, [tabindex="0"]';

/** What had the focus, and its place among what can have it in each element around it, from within. */
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
