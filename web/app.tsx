/** What stands around every page: the name of the queen or keeper, the ways to go, and whether it is there. */
import { useComputed, useSignalEffect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { isRbeeError } from '../client/errors.js';
import { count, pageUnits } from '../wire/units.js';
import { nowMs } from './data/clock.js';
import { host, queenWords } from './data/keeper.js';
import { connect, endSession, info, link, loggedIn, outdated } from './data/link.js';
import { hives, troubles, whole } from './data/swarm.js';
import { fetchParts, lazy } from './parts/lazy.js';
import { Notice, notify } from './parts/notice.js';
import { nextTheme, theme } from './parts/theme.js';
import { route, type ScreenRoute } from './route.js';
import { LoginScreen } from './screens/login.js';
import { SwarmScreen } from './screens/swarm.js';

const { duration } = pageUnits;

export function App() {
  useTitle();
  useSignalEffect(() => {
    if (whole.value) (self.requestIdleCallback ?? setTimeout)(() => void fetchParts());
  });
  if (link.value.state === 'locked') return <LoginScreen />;
  const away = link.value.awaySince !== null;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <Header />
      {away && <Away />}
      {outdated.value && <Outdated />}
      <main id="main" tabIndex={-1} class={away ? 'away' : ''}>
        <Page />
      </main>
      <Notice />
    </>
  );
}

/** What few look at each time is fetched when somebody first does. */
const LATER = {
  hive: lazy(() => import('./screens/hive.js').then(({ HiveScreen }) => HiveScreen)),
  workers: lazy(() => import('./screens/workers.js').then(({ WorkersScreen }) => WorkersScreen)),
  chat: lazy(() => import('./screens/chat.js').then(({ ChatScreen }) => ChatScreen)),
};

function Page() {
  const at = route.value;
  if (at.page === 'hive') return <LATER.hive id={at.id} />;
  if (at.page === 'workers') return <LATER.workers />;
  if (at.page === 'chat') return <LATER.chat />;
  if (at.page === 'swarm') return <SwarmScreen />;
  return (
    <section class="empty">
      <h1>There is nothing here</h1>
      <p>
        <a href="#/">To the swarm</a>
      </p>
    </section>
  );
}

const LINK_WORDS = { connecting: 'connecting', open: 'live', waiting: 'away', asleep: 'paused', locked: 'locked' };
const THEMES = { system: 'as the system', light: 'light', dark: 'dark' };

function Header() {
  const { state } = link.value;
  return (
    <header class="top">
      <a class="brand" href="#/" aria-label="rbee, the swarm">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path class="cell" d="M16 2l12.1 7v14L16 30 3.9 23V9z" />
          <path
            class="stripe"
            d="M9.2 12.2L16 8.3l6.8 3.9v1.9H9.2zM9.2 17h13.6v2.900l-1.500.8H10.700l-1.500-.8zM14.600 23.700L16 24.500l1.400-.8z"
          />
        </svg>
        rbee
      </a>
      <nav aria-label="Pages">
        <NavLink to="#/" current={route.value.page === 'swarm' || route.value.page === 'hive'}>
          Swarm
        </NavLink>
        <NavLink to="#/workers" current={route.value.page === 'workers'}>
          Workers
        </NavLink>
        <NavLink to="#/chat" current={route.value.page === 'chat'}>
          Chat
        </NavLink>
      </nav>
      <span class="queen">
        <span class="id">{info.value?.id ?? ''}</span>
        {host.value === 'keeper' && <span class="with">keeper · {queenWords}</span>}
        <span class={`link ${state}`} role="status">
          {LINK_WORDS[state]}
        </span>
      </span>
      <button
        type="button"
        class="icon"
        onClick={nextTheme}
        aria-label={`Colours: ${THEMES[theme.value]}`}
        title={`Colours: ${THEMES[theme.value]}`}
      >
        <svg viewBox="0 0 16 16" aria-hidden="true">
          {theme.value === 'dark' ? (
            <path d="M13 9.800A5.500 5.500 0 0 1 6.200 3 5.500 5.500 0 1 0 13 9.800z" />
          ) : theme.value === 'light' ? (
            <path d="M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM7.400 1h1.200v2.200H7.400zM7.400 12.800h1.200V15H7.400zM1 7.400h2.200v1.200H1zM12.800 7.400H15v1.200h-2.200zM2.600 3.500l.9-.9 1.500 1.600-.8.8zM11 11.900l.9-.9 1.500 1.600-.8.8zM2.600 12.500l1.600-1.500.8.800-1.500 1.600zM11 4.100l1.600-1.500.8.900L11.900 5z" />
          ) : (
            <path d="M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 1.300v9.400a4.700 4.700 0 0 0 0-9.400z" />
          )}
        </svg>
      </button>
      {loggedIn.value && (
        <button type="button" class="plain log-out" aria-label="Log out" title="Log out" onClick={() => void leave()}>
          <span>Log out</span>
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M2 2h7v2H4v8h5v2H2zM10.500 4.500L14 8l-3.500 3.500-1.200-1.200L10.800 9H6V7h4.800L9.300 5.700z" />
          </svg>
        </button>
      )}
    </header>
  );
}

async function leave(): Promise<void> {
  try {
    await endSession();
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    notify(`You are still logged in: ${error.message}`, 'bad');
  }
}

function NavLink({ to, current, children }: { to: string; current: boolean; children: string }) {
  return (
    <a href={to} aria-current={current ? 'page' : undefined}>
      {children}
    </a>
  );
}

/** It is away: what is shown is how it was, and how long ago. */
function Away() {
  const { reason, awaySince, retryAt } = link.value;
  const since = useComputed(() => duration(nowMs.value - (awaySince ?? nowMs.value)));
  const next = useComputed(() => {
    const left = retryAt === null ? 0 : retryAt - nowMs.value;
    return left <= 0 ? 'Retrying now' : `Retrying in ${duration(left + 999)}`;
  });
  return (
    <div class="banner" role="alert">
      <p>
        <strong>The {host} is away</strong>
        {reason ? `: ${reason}. ` : ': it said goodbye. '}
        <span aria-hidden="true">
          What you see is from {since} ago. {next}.
        </span>
      </p>
      <button type="button" onClick={connect}>
        Try now
      </button>
    </div>
  );
}

function Outdated() {
  return (
    <div class="banner calm" role="status">
      <p>The {host} was updated. This page is from before.</p>
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}

/** The swarm, which is what most look at, goes by its numbers. */
function pageName(at: ScreenRoute): string {
  if (at.page === 'hive') return at.id;
  return { swarm: '', workers: 'Workers', chat: 'Chat', unknown: 'Not found' }[at.page];
}

/** A tab that is not looked at still says whether somebody should. */
function useTitle(): void {
  const title = useComputed(() => {
    const name = info.value?.id ?? 'rbee';
    if (link.value.state === 'locked') return 'Log in · rbee';
    const page = pageName(route.value);
    const parts = page === '' ? [name] : [page, name];
    if (link.value.awaySince !== null) return ['away', ...parts].join(' · ');
    if (troubles.value > 0) return `(${troubles.value}) ${parts.join(' · ')}`;
    if (page === '' && whole.value) parts.unshift(count(hives.value.length, 'hive'));
    return parts.join(' · ');
  });
  useEffect(
    () =>
      title.subscribe((text) => {
        document.title = text;
      }),
    [],
  );
}
