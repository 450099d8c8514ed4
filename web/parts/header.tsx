/** The top of every screen: where to go, which process serves the page, and whether it is connected. */
import { isRbeeError } from '../../client/errors.js';
import { host, queenWords } from '../data/keeper.js';
import { endSession, info, link, loggedIn } from '../data/link.js';
import { route } from '../route.js';
import { notify } from './notice.js';
import { nextTheme, theme } from './theme.js';

const LINK_WORDS = { connecting: 'connecting', open: 'live', waiting: 'offline', asleep: 'paused', locked: 'locked' };
const THEMES = { system: 'as the system', light: 'light', dark: 'dark' };

export function Header() {
  const { state } = link.value;
  return (
    <header class="top">
      <Brand />
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
      <ThemeButton />
      {loggedIn.value && <LogOutButton />}
    </header>
  );
}

function Brand() {
  return (
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
  );
}

function ThemeButton() {
  return (
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
  );
}

function LogOutButton() {
  return (
    <button type="button" class="plain log-out" aria-label="Log out" title="Log out" onClick={() => void leave()}>
      <span>Log out</span>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="M2 2h7v2H4v8h5v2H2zM10.500 4.500L14 8l-3.500 3.500-1.200-1.200L10.800 9H6V7h4.800L9.300 5.700z" />
      </svg>
    </button>
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
