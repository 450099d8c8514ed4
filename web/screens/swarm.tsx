/** The whole swarm on one page. */
import { signal, useComputed, useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { count, pageUnits, rate, share } from '../../wire/units.js';
import { isLoopback } from '../../wire/url.js';
import { isServing } from '../data/hive.js';
import { host, keeper } from '../data/keeper.js';
import { loggedIn } from '../data/link.js';
import { hives, whole } from '../data/swarm.js';
import { totals } from '../data/totals.js';
import { Attention } from '../parts/attention.js';
import { HiveCard } from '../parts/hive-card.js';
import { Bar, Command } from '../parts/small.js';

const { mibOf, percent } = pageUnits;

/** Kept while other pages are looked at. */
const filter = signal('');
/** More cards than this are drawn when asked for. */
const CARDS_STEP = 300;

export function SwarmScreen() {
  if (!whole.value) return <p class="waiting-first">Asking the {host} for the swarm …</p>;
  if (hives.value.length === 0) {
    return (
      <>
        <Attention />
        {host.value === 'queen' ? <Empty /> : <EmptyKeeper />}
      </>
    );
  }
  return (
    <>
      <h1 class="sr">Swarm</h1>
      <Totals />
      <Attention />
      <Cards />
    </>
  );
}

function Totals() {
  const t = totals.value;
  const vram = useComputed(() => share(totals.value.vramUsedMb, totals.value.vramTotalMb));
  const ram = useComputed(() => share(totals.value.ramUsedMb, totals.value.ramTotalMb));
  const gpu = useComputed(() => (totals.value.gpuPct ?? 0) / 100);
  const cpu = useComputed(() => (totals.value.cpuPct ?? 0) / 100);
  return (
    <dl class="totals" aria-label="The swarm in numbers">
      <div>
        <dt>Hives</dt>
        <dd>
          {t.online}
          <small> of {t.hives} online</small>
        </dd>
      </div>
      <div>
        <dt>Workers</dt>
        <dd>
          {t.workersAvailable}
          <small> of {t.workers} available</small>
        </dd>
      </div>
      {t.tokensPerS !== null && (
        <div>
          <dt>Tokens</dt>
          <dd>
            {rate(t.tokensPerS)}
            <small> a second</small>
          </dd>
        </div>
      )}
      <div>
        <dt>CPU</dt>
        <dd>{percent(t.cpuPct)}</dd>
        <dd>
          <Bar of={cpu} />
        </dd>
      </div>
      <div>
        <dt>RAM</dt>
        <dd>{mibOf(t.ramUsedMb, t.ramTotalMb)}</dd>
        <dd>
          <Bar of={ram} />
        </dd>
      </div>
      {t.gpus > 0 && (
        <>
          <div>
            <dt>{count(t.gpus, 'GPU')}</dt>
            <dd>{percent(t.gpuPct)}</dd>
            <dd>
              <Bar of={gpu} />
            </dd>
          </div>
          <div>
            <dt>VRAM</dt>
            <dd>{mibOf(t.vramUsedMb, t.vramTotalMb)}</dd>
            <dd>
              <Bar of={vram} />
            </dd>
          </div>
        </>
      )}
    </dl>
  );
}

function Cards() {
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
      <ul class="cards" ref={list} onKeyDown={(event) => walk(event, list.current)}>
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

/** Arrows go from card to card, as they lie on the screen. */
function walk(event: KeyboardEvent, list: HTMLElement | null): void {
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

function Empty() {
  const { origin, hostname } = location;
  const local = isLoopback(hostname);
  const guarded = loggedIn.value;
  const url = origin + location.pathname.replace(/\/$/, '');
  return (
    <section class="empty">
      <h1>No hive yet</h1>
      <p>
        A hive is one computer of the swarm. Start one on each, this one too, in any order; each shows up here within a
        second.
      </p>
      <h2>On {local ? 'this computer' : 'each computer'}</h2>
      {guarded && <Command text='export RBEE_TOKEN="…the token that you logged in with…"' />}
      <Command text={local ? `rbee hive --queen-url ${url}` : `rbee hive --bind 0.0.0.0 --queen-url ${url}`} />
      {local && (
        <>
          <h2>On other computers</h2>
          <p>
            You reached this queen at <code>{hostname}</code>. For other computers it needs another address
            {guarded ? ', and each hive the token of this queen:' : ' and a token, which each hive gets, too:'}
          </p>
          {!guarded && <Command text="export RBEE_TOKEN=$(openssl rand -hex 32)" />}
          <Command text="rbee queen --bind 0.0.0.0" />
          <Command text={`rbee hive --bind 0.0.0.0 --queen-url http://<this computer>:${location.port || 80}`} />
        </>
      )}
      <p class="hint">
        Hosts of the queen's SSH config need no <code>--queen-url</code>: it asks there by itself.
      </p>
    </section>
  );
}

function EmptyKeeper() {
  const workers = (keeper.value?.workers ?? []).filter(isServing).length;
  const queens = keeper.value?.queens.length ?? 0;
  return (
    <section class="empty">
      <h1>No hive yet</h1>
      {workers === 0 ? (
        <p>
          This keeper needs none: <a href="#/workers">spawn a worker on this machine</a>, and chat with it here.
        </p>
      ) : (
        <p>
          {count(workers, 'worker')} {workers === 1 ? 'runs' : 'run'} on this machine: <a href="#/chat">chat</a>, or{' '}
          <a href="#/workers">see what {workers === 1 ? 'it uses' : 'they use'}</a>.
        </p>
      )}
      <h2>To see other computers</h2>
      <p>
        Start a registry, name it to this keeper, and start a hive on each computer, in any order; each shows up here
        within a second.
      </p>
      {loggedIn.value && <Command text='export RBEE_TOKEN="…the token that you logged in with…"' />}
      <Command text="rbee registry" />
      <Command text="rbee keeper --registry-url http://127.0.0.1:7830" />
      <Command text="rbee hive --registry-url http://127.0.0.1:7830" />
      <p class="hint">
        Hosts of the SSH config are asked as well, and so are queens: <code>--queen-url</code>
        {queens > 0 ? '. The queen that is known has no hive either.' : '.'} For other computers all of them want{' '}
        <code>--bind 0.0.0.0</code> and one token.
      </p>
    </section>
  );
}
