/** A card for each hive, with a filter. */
import { signal, useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { count } from '../../wire/units.js';
import { hives } from '../data/swarm.js';
import { HiveCard } from './hive-card.js';

/** Kept while other screens are shown. */
const filter = signal('');
/** More cards than this are drawn only on request. */
const CARDS_STEP = 300;

export function HiveCards() {
  const limit = useSignal(CARDS_STEP);
  const list = useRef<HTMLUListElement>(null);
  const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const found =
    words.length === 0
      ? hives.value
      : hives.value.filter((hive) => words.every((word) => hive.words.value.includes(word)));
  return (
    <section aria-labelledby="hives">
      <div class="toolbar">
        <h2 id="hives">Hives</h2>
        <label class="filter">
          <span class="sr">Filter hives by name, label, state, model or GPU</span>
          <input
            type="search"
            id="filter"
            placeholder="Filter: name, label, state, model …"
            value={filter.value}
            autocomplete="off"
            spellcheck={false}
            onInput={({ currentTarget }) => {
              filter.value = currentTarget.value;
            }}
          />
          {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: a kbd takes no focus */}
          <kbd aria-hidden="true">/</kbd>
        </label>
        <span class="found" role="status">
          {words.length > 0 ? `${found.length} of ${count(hives.value.length, 'hive')}` : ''}
        </span>
      </div>
      {found.length === 0 && <p class="none">No hive matches “{filter}”.</p>}
      <ul class="cards" ref={list} onKeyDown={(event) => moveFocus(event, list.current)}>
        {found.slice(0, limit.value).map((hive) => (
          <HiveCard key={hive.key} hive={hive} />
        ))}
      </ul>
      {found.length > limit.value && (
        <button
          type="button"
          class="plain"
          onClick={() => {
            limit.value += CARDS_STEP;
          }}
        >
          Show {Math.min(CARDS_STEP, found.length - limit.value)} more of {found.length}
        </button>
      )}
    </section>
  );
}

/** Arrow keys move from card to card, as they are laid out on the screen. */
function moveFocus(event: KeyboardEvent, list: HTMLElement | null): void {
  const links = [...(list?.querySelectorAll<HTMLElement>('h3 a') ?? [])];
  const at = links.indexOf(document.activeElement as HTMLElement);
  if (at < 0) return;
  const tops = links.map((link) => Math.round(link.getBoundingClientRect().top));
  const columns = Math.max(1, tops.filter((top) => Math.abs(top - (tops[0] ?? 0)) < 4).length);
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  const next = step === undefined ? undefined : links[at + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
