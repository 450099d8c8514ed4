/** The smallest parts: bars, states, ages, and commands to copy. */
import { type ReadonlySignal, useComputed, useSignal, useSignalEffect } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';
import { NONE, pageUnits } from '../../wire/units.js';
import { queenNow } from '../data/clock.js';
import type { Hive, Tone } from '../data/hive.js';

const { since, duration } = pageUnits;

/** A share of a whole, 0 to 1. The number next to it has the same value as text. */
export function Bar({ of }: { of: ReadonlySignal<number | null> }) {
  const ref = useRef<HTMLElement>(null);
  useSignalEffect(() => {
    const share = of.value ?? 0;
    if (!ref.current) return;
    // Only repainted: a width would cause layout, and a transform a layer of its own.
    ref.current.style.backgroundSize = `${(share * 100).toFixed(1)}% 100%`;
    ref.current.dataset.full = share > 0.92 ? 'yes' : '';
  });
  return <span class="bar" aria-hidden="true" ref={ref} />;
}

/** A text node that changes without rendering its component again. */
export function Value({ text, why }: { text: () => string; why?: (() => string | undefined) | undefined }) {
  const shown = useComputed(text);
  const title = useComputed(() => (shown.value.includes(NONE) ? why?.() : undefined));
  return (
    <span class="value" title={title}>
      {shown}
    </span>
  );
}

export function State({ hive }: { hive: Hive }) {
  return (
    <span class={`state ${hive.tone.value}`} title={hive.connection.value.reason ?? undefined}>
      {hive.stateWords}
    </span>
  );
}

export function Age({ of }: { of: string | null }) {
  const text = useComputed(() => since(of, queenNow.value));
  return (
    <time dateTime={of ?? undefined} title={of ?? undefined}>
      {text}
    </time>
  );
}

/** `Retrying in 5 s`, by the queen's clock. */
export function Retrying({ to }: { to: string }) {
  const text = useComputed(() => {
    const left = Date.parse(to) - (queenNow.value ?? Number.NaN);
    return Number.isNaN(left) ? '' : left < 1000 ? 'Retrying now' : `Retrying in ${duration(left)}`;
  });
  return <span class="countdown">{text}</span>;
}

export function Chip({ tone, title, children }: { tone: Tone; title?: string; children: ComponentChildren }) {
  return (
    <span class={`chip ${tone}`} title={title}>
      {children}
    </span>
  );
}

const COPIED_MS = 2_000;

/** A command to paste. */
export function Command({ text }: { text: string }) {
  const feedback = useSignal('');
  const code = useRef<HTMLElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      feedback.value = 'copied';
    } catch {
      // Only pages of loopback and HTTPS have a clipboard: elsewhere the text is selected for Ctrl-C.
      if (code.current) getSelection()?.selectAllChildren(code.current);
      feedback.value = 'selected: press Ctrl-C';
    }
    setTimeout(() => {
      feedback.value = '';
    }, COPIED_MS);
  };
  return (
    <div class="command">
      <code ref={code}>{text}</code>
      <button type="button" onClick={copy}>
        Copy
      </button>
      <span class="remark" role="status">
        {feedback}
      </span>
    </div>
  );
}
