/** The page: header, banners, the screen of the current route, and the title of the tab. */
import { useComputed, useSignalEffect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count } from '../wire/units.js';
import { info, link, outdated } from './data/link.js';
import { hives, loaded, troubles } from './data/swarm.js';
import { Away, Outdated } from './parts/banners.js';
import { Header } from './parts/header.js';
import { fetchParts, lazy } from './parts/lazy.js';
import { Notice } from './parts/notice.js';
import { route, type ScreenRoute } from './route.js';
import { LoginScreen } from './screens/login.js';
import { SwarmScreen } from './screens/swarm.js';

export function App() {
  useTitle();
  useSignalEffect(() => {
    if (loaded.value) (self.requestIdleCallback ?? setTimeout)(() => void fetchParts());
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

/** Screens that are loaded when they are first shown. */
const LAZY = {
  hive: lazy(() => import('./screens/hive.js').then(({ HiveScreen }) => HiveScreen)),
  workers: lazy(() => import('./screens/workers.js').then(({ WorkersScreen }) => WorkersScreen)),
  chat: lazy(() => import('./screens/chat.js').then(({ ChatScreen }) => ChatScreen)),
};

function Page() {
  const at = route.value;
  if (at.page === 'hive') return <LAZY.hive id={at.id} />;
  if (at.page === 'workers') return <LAZY.workers />;
  if (at.page === 'chat') return <LAZY.chat />;
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

/** The swarm has no name of its own: the title shows its numbers. */
function pageName(at: ScreenRoute): string {
  if (at.page === 'hive') return at.id;
  return { swarm: '', workers: 'Workers', chat: 'Chat', unknown: 'Not found' }[at.page];
}

/** The title shows in a hidden tab, too, whether something needs attention. */
function useTitle(): void {
  const title = useComputed(() => {
    const name = info.value?.id ?? 'rbee';
    if (link.value.state === 'locked') return 'Log in · rbee';
    const page = pageName(route.value);
    const parts = page === '' ? [name] : [page, name];
    if (link.value.awaySince !== null) return ['offline', ...parts].join(' · ');
    if (troubles.value > 0) return `(${troubles.value}) ${parts.join(' · ')}`;
    if (page === '' && loaded.value) parts.unshift(count(hives.value.length, 'hive'));
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
