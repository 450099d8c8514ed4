/** One sentence at the bottom of the page on the result of the last click. */
import { signal } from '@preact/signals';
import type { Tone } from '../data/hive.js';

const SHOWN_MS = 6_000;
const notice = signal<{ text: string; tone: Tone } | null>(null);
let timer: ReturnType<typeof setTimeout> | undefined;

export function notify(text: string, tone: Tone = 'calm'): void {
  clearTimeout(timer);
  notice.value = { text, tone };
  timer = setTimeout(() => {
    notice.value = null;
  }, SHOWN_MS);
}

export function Notice() {
  return (
    <div class="notices" role="status">
      {notice.value && <p class={`notice ${notice.value.tone}`}>{notice.value.text}</p>}
    </div>
  );
}
