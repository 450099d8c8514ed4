/** What is wider than a phone scrolls in a box of its own, which the keyboard can reach, too. */
import type { ComponentChildren } from 'preact';

export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: only what has the focus is scrolled by the arrow keys
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
