/** A box that scrolls content wider than the screen; it can be focused with the keyboard. */
import type { ComponentChildren } from 'preact';

export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: only what has the focus is scrolled by the arrow keys
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
