/** What to do first: shown while there is no hive. */
import { count } from '../../wire/units.js';
import { isLoopback } from '../../wire/url.js';
import { isServing } from '../data/hive.js';
import { host, keeper } from '../data/keeper.js';
import { loggedIn } from '../data/link.js';
import { Command } from './small.js';

export function EmptySwarm() {
  return host.value === 'queen' ? <EmptyQueen /> : <EmptyKeeper />;
}

function EmptyQueen() {
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
            {guarded ? ', and each hive the token of this queen:' : ' and a token, which each hive needs, too:'}
          </p>
          {!guarded && <Command text="export RBEE_TOKEN=$(openssl rand -hex 32)" />}
          <Command text="rbee queen --bind 0.0.0.0" />
          <Command text={`rbee hive --bind 0.0.0.0 --queen-url http://<this computer>:${location.port || 80}`} />
        </>
      )}
      <p class="hint">
        Hosts of the queen's SSH config need no <code>--queen-url</code>: the queen finds them by itself.
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
          A keeper needs none: <a href="#/workers">spawn a worker on this machine</a>, and chat with it here.
        </p>
      ) : (
        <p>
          {count(workers, 'worker')} {workers === 1 ? 'runs' : 'run'} on this machine: <a href="#/chat">chat</a>, or{' '}
          <a href="#/workers">see what {workers === 1 ? 'it uses' : 'they use'}</a>.
        </p>
      )}
      <h2>To see other computers</h2>
      <p>
        Start a registry, this keeper with its URL, and a hive on each computer, in any order; each shows up here within
        a second.
      </p>
      {loggedIn.value && <Command text='export RBEE_TOKEN="…the token that you logged in with…"' />}
      <Command text="rbee registry" />
      <Command text="rbee keeper --registry-url http://127.0.0.1:7830" />
      <Command text="rbee hive --registry-url http://127.0.0.1:7830" />
      <p class="hint">
        Hosts of the SSH config are searched, too, and so are queens: <code>--queen-url</code>
        {queens > 0 ? '. The queen that is known has no hive either.' : '.'} For other computers all of them need{' '}
        <code>--bind 0.0.0.0</code> and one token.
      </p>
    </section>
  );
}
