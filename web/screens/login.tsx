/** Asks for the token once; the browser then has a session cookie that scripts cannot read. */
import { useSignal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import { startSession } from '../data/link.js';

export function LoginScreen() {
  const refused = useSignal('');
  const busy = useSignal(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const token = String(new FormData(form).get('token') ?? '').trim();
    if (token === '') return;
    busy.value = true;
    refused.value = '';
    try {
      await startSession(token);
    } catch (error) {
      if (!isRbeeError(error)) throw error;
      const wrong = error instanceof RbeeProblem && error.status === 401;
      refused.value = wrong ? 'Wrong token.' : `It could not be checked: ${error.message}.`;
      form.querySelector('input')?.select();
    }
    busy.value = false;
  };
  return (
    <main class="login" id="main">
      <form onSubmit={submit}>
        <h1>Log in</h1>
        <p>
          This swarm requires a token: the one that its processes were started with, as <code>--token</code> or{' '}
          <code>RBEE_TOKEN</code>.
        </p>
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="current-password"
          maxLength={4096}
          required
          autofocus
          aria-describedby="refused"
          aria-invalid={refused.value !== ''}
        />
        <button type="submit" class="main" disabled={busy.value}>
          Log in
        </button>
        <p id="refused" class="refused" role="alert">
          {refused}
        </p>
      </form>
    </main>
  );
}
