/** The dashboard in a real browser, with real processes behind it. */
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { axeViolations, noChromium, showPage, startChromium } from '../helpers/browser.js';
import { getJson } from '../helpers/http.js';
import { eventOf, GPU, NODE, shownHive, worker } from '../helpers/picture.js';
import { restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const skip = noChromium();
const UNSEEN_MS = 2_000;
const card = (id: string) => `.card[data-hive="${id}"]`;
const inState = (id: string, state: string) => `.card[data-hive="${id}"][data-state="${state}"]`;

t.test('the queen serves the page', async (t) => {
  const queen = await startProcess(t, { name: 'queen' });
  t.match((await getJson(queen.url)).body, /<div id="app">/);
});

t.test('the page', { skip }, async (t) => {
  const swarm = await startSwarm(t);
  firstPicture(t, swarm);
  navigation(t, swarm);
  hiveScreen(t, swarm);
  losses(t, swarm);
  troubledHives(t, swarm);
  returns(t, swarm);
  wholePage(t, swarm);
});

type Swarm = Awaited<ReturnType<typeof startSwarm>>;

/** A queen with a real hive, a hive with a crashed worker and a conflict, and one that measures little; and its page in a browser. */
async function startSwarm(t: Test) {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
  const empty = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-empty'] });
  const real = await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'real', '--queen-url', queen.url, '--label', 'rack=b', '--interval', '200ms'],
  });
  const hostile = '<img src=x onerror="document.title=1">';
  await shownHive(t, queen.url, {
    hiveId: 'gpu-0',
    labels: { rack: 'a', note: hostile },
    workers: [worker('gpu-0'), worker('gpu-0', { worker_id: 'worker-llm-8081@gpu-0', pid: 1, status: 'crashed' })],
    devices: [{ id: 'GPU-0', name: GPU.name, device_type: 'cuda', vram_gb: 24, compute_capability: '8.9' }],
  });
  await shownHive(t, queen.url, {
    hiveId: 'blind',
    health: { status: 'degraded', reason: 'nvidia-smi fails' },
    node: {
      ...{ cpu_pct: null, ram_used_mb: 0, ram_total_mb: 1_024, errors: ['nvidia-smi fails: exit code 9'] },
      gpus: [{ ...GPU, util_pct: null, vram_used_mb: null, temp_c: null }],
    },
  });
  // Another machine whose name is taken.
  await fetch(`${queen.url}/v1/hive/ready`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ hive_id: 'gpu-0', hive_url: 'http://127.0.0.1:9' }),
  });
  await waitFor('the queen at them all', async () => {
    const { hives } = (await getJson(`${queen.url}/v1/hives`)).body as { hives: { node: object | null }[] };
    return hives.length === 3 && hives.every(({ node }) => node !== null);
  });

  const { page, problems } = await chromium.open(queen.url, { expected: /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE/ });
  await page.locator(card('real')).waitFor();
  return { chromium, page, problems, empty, real, hostile, queen };
}

/** What is on the screen at first. */
function firstPicture(t: Test, swarm: Swarm): void {
  const { page, hostile } = swarm;
  t.test('the first screen is complete', async (t) => {
    t.equal(await page.locator('.card').count(), 3);
    const text = await page.locator(card('gpu-0')).innerText();
    t.match(text.replace(/\s+/g, ' '), /rack a|racka/);
    for (const part of [
      /37\s%/,
      /12\.0\s\/\s64\.0\sGiB/,
      /64\s%/,
      /8\.0\s\/\s24\.0\sGiB/,
      /66\s°C/,
      /llama-3\.2-1b ready/,
    ]) {
      t.match(text, part);
    }
    t.match(await page.locator('.totals').innerText(), /Hives\s+3\s+of 3 online/);
    t.match(await page.locator('.totals').innerText(), /Tokens\s+83\s+a second/, 'those of both workers');
    t.equal(await page.title(), '(3) queen-desk', 'the title counts what needs attention');
  });

  t.test('a value that could not be measured is a dash, with the reason, and never 0', async (t) => {
    const dashes = page.locator(`${card('blind')} .value`, { hasText: '–' });
    t.equal(await dashes.count(), 4, 'CPU, and use, VRAM and temperature of the GPU');
    t.equal(await dashes.first().getAttribute('title'), 'nvidia-smi fails: exit code 9');
    t.match(await page.locator(card('blind')).innerText(), /0\.0\s\/\s1\.0\sGiB/, 'a measured 0 is a 0');
  });

  t.test('needs attention: a conflict with both URLs, then crashed workers, then degraded hives', async (t) => {
    const { hives } = (await getJson(`${swarm.queen.url}/v1/hives`)).body as {
      hives: { hive_id: string; hive_url: string }[];
    };
    const conflict = await page.locator('[data-conflict="gpu-0"]').innerText();
    t.match(conflict, 'http://127.0.0.1:9');
    t.match(conflict, hives.find(({ hive_id }) => hive_id === 'gpu-0')?.hive_url);
    t.match(await page.locator('[data-trouble="gpu-0"]').innerText(), /1 crashed[\s\S]*worker-llm-8081@gpu-0/);
    t.match(await page.locator('[data-trouble="blind"]').innerText(), /degraded[\s\S]*nvidia-smi fails/);
    const order = await page.locator('[data-trouble]').evaluateAll((items) => items.map((one) => one.dataset?.trouble));
    t.same(order, ['gpu-0', 'blind'], 'a crash before a warning');
  });

  t.test('text from a hive is shown as text', async (t) => {
    t.match(await page.locator(`${card('gpu-0')} .labels`).innerText(), hostile);
    t.equal(await page.locator('img').count(), 0);
  });
}

/** The filter, the keyboard, and the history of the browser. */
function navigation(t: Test, swarm: Swarm): void {
  const { page } = swarm;
  t.test('the filter finds names, labels, states and models, from the keyboard', async (t) => {
    await page.keyboard.press('/');
    for (const [words, found] of [
      ['rack=a', ['gpu-0']],
      ['llama crashed', ['gpu-0']],
      ['degraded', ['blind']],
      ['ONLINE', ['blind', 'gpu-0', 'real']],
      ['nothing-like-it', []],
    ] as const) {
      await page.locator('#filter').fill(words);
      await waitFor(words, async () => {
        const shown = await page.locator('.card h3').allInnerTexts();
        return JSON.stringify(shown) === JSON.stringify(found) || null;
      });
      t.pass(words);
    }
    await page.keyboard.press('Escape');
    await page.locator(card('real')).waitFor();
    await page.keyboard.press('ArrowDown');
    t.equal(await page.evaluate('document.activeElement.textContent'), 'blind', 'arrow keys move from card to card');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.locator('.hive h1').waitFor();
    t.equal(await page.locator('.hive h1').innerText(), 'gpu-0', 'and Enter opens one');
  });

  t.test('a screen reader announces the new screen, and Back leads to the former position', async (t) => {
    t.equal(await page.title(), '(3) gpu-0 · queen-desk');
    t.equal(await page.evaluate('document.activeElement.id'), 'main', 'Tab goes on at the beginning of the page');
    await page.setViewportSize({ width: 390, height: 300 });
    await page.goto(`${swarm.queen.url}/#/`);
    const link = page.locator(card('gpu-0')).getByRole('link');
    const inView = async () => {
      const y = (await link.boundingBox())?.y ?? -1;
      return y > 0 && y < 300;
    };
    await link.waitFor();
    t.notOk(await inView());
    await link.click();
    await page.locator('.hive h1', { hasText: 'gpu-0' }).waitFor();
    await waitFor('the top', async () => (await page.evaluate('scrollY')) === 0);
    await page.goBack();
    await waitFor('the former position', inView);
    const isFocused = `document.activeElement.matches('${card('gpu-0')} a')`;
    t.ok(
      await page.evaluate(isFocused),
      'the link that was followed has the focus, not the one in the list of problems',
    );
    await page.goForward();
    await page.locator('.hive h1', { hasText: 'gpu-0' }).waitFor();
    await waitFor('the top again', async () => (await page.evaluate('scrollY')) === 0);
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(`${swarm.queen.url}/#/hives/gpu-0`);
  });
}

/** The screen of one hive. */
function hiveScreen(t: Test, swarm: Swarm): void {
  const { page } = swarm;
  t.test('a hive has charts, devices, workers and its connection as a live statechart', async (t) => {
    await page.locator('.chart canvas').first().waitFor();
    t.equal(await page.locator('.chart').count(), 5);
    t.equal(await page.locator('.pointed').count(), 0);
    await page.locator('.chart .u-over').first().hover();
    await page.locator('.chart .pointed').nth(4).waitFor();
    t.match(
      await page.locator('.chart .pointed').first().innerText(),
      /^\d\d:\d\d:\d\d$/,
      'at the cursor, in all of them',
    );
    await page.mouse.move(0, 0);
    await page.locator('.chart .pointed').first().waitFor({ state: 'detached' });
    t.match(await page.locator('.hive [data-conflict]').innerText(), /127\.0\.0\.1:9 calls itself gpu-0/);
    t.match(await page.locator('.hive').innerText(), /8\.9[\s\S]*24\sGiB/);
    await page.locator('.node.active[data-state="streaming.fresh"]').waitFor();
    t.match(await page.locator('.transitions').first().innerText(), /opened\s→\sstreaming\.fresh/);
    t.same(await page.locator('[data-label="connecting.choosing connecting.asking"]').textContent(), 'always');
    t.equal(
      await page.locator('.statechart').first().locator('.initial').count(),
      3,
      'of it, connecting and streaming',
    );
    t.ok((await page.locator('.node').count()) >= 9, 'every state is drawn');
  });
}

/** Hives and queens that go and return. */
function losses(t: Test, swarm: Swarm): void {
  const { page, real } = swarm;
  t.test('a killed hive is shown as lost, with the reason and the next attempt, and returns', async (t) => {
    await page.goto(`${swarm.queen.url}/#/`);
    await page.locator(inState('real', 'streaming')).waitFor();
    await real.kill('SIGKILL');
    await page.locator(inState('real', 'lost')).waitFor();
    const trouble = page.locator('[data-trouble="real"]');
    await trouble.waitFor();
    await waitFor('the countdown', async () => /Retrying (in \d|now)/.test(await trouble.innerText()));
    t.match(await trouble.innerText(), /Offline[\s\S]*for \d+\s?s/);
    t.match(await page.locator('.totals').innerText(), /Hives\s+2\s+of 3 online/);
    await trouble.getByText('connection refused').waitFor();
    t.match(await trouble.innerText(), /no hive runs there: start it with rbee hive/);
    await restart(real);
    await page.locator(inState('real', 'streaming')).waitFor();
    await trouble.waitFor({ state: 'detached' });
  });

  t.test(
    'a queen that goes offline is shown so, the last values stay, and the page reconnects by itself',
    async (t) => {
      await swarm.queen.kill('SIGKILL');
      await page.locator('.banner').waitFor();
      t.match(await page.locator('.banner').innerText(), /The queen is offline[\s\S]*What you see is from \d+\s?s ago/);
      t.equal(await page.locator('main.away .card').count(), 3);
      t.equal(await page.title(), 'offline · queen-desk');
      swarm.queen = await restart(swarm.queen);
      await page.locator('.banner').waitFor({ state: 'detached' });
      await page.locator('.link.open').waitFor();
      await page.locator(inState('real', 'streaming')).waitFor();
      await page.locator(inState('gpu-0', 'streaming')).waitFor();
      t.equal(await page.locator('.card').count(), 3, 'none is shown twice');
    },
  );

  t.test('one click forgets a lost hive', async (t) => {
    const gone = await shownHive(t, swarm.queen.url, { hiveId: 'gone' });
    await page.locator(inState('gone', 'streaming')).waitFor();
    await gone.close();
    await page.locator(inState('gone', 'lost')).waitFor();
    await page.locator('[data-trouble="gone"] button').focus();
    await page.keyboard.press('Enter');
    await page.locator(card('gone')).waitFor({ state: 'detached' });
    t.ok(await page.evaluate('document.activeElement.closest("main") !== null'), 'the focus stays on the page');
    t.equal((await getJson(`${swarm.queen.url}/v1/hives/gone`)).status, 404);
  });
}

/** Hives that need attention. */
function troubledHives(t: Test, swarm: Swarm): void {
  const { page } = swarm;
  t.test('a hive that is lost repeatedly needs attention even while it is online', async (t) => {
    const body = (await getJson(`${swarm.queen.url}/v1/hives`)).body as { hives: { hive_id: string }[] };
    const refused_workers = [{ worker_id: 'worker-llm-8080@gpu-0', holder: 'gpu-0' }];
    const hives = body.hives.map((hive) =>
      hive.hive_id === 'blind' ? hive : { ...hive, losses_10m: 3, refused_workers },
    );
    await page.route('**/v1/hives', (route) => route.fulfill({ json: { ...body, hives } }));
    await page.reload();
    const trouble = page.locator('[data-trouble="real"]');
    await trouble.waitFor();
    t.match(await trouble.innerText(), /unstable[\s\S]*It went offline 3 times in the last ten minutes/);
    t.same(await axeViolations(page), []);
    await trouble.getByRole('link', { name: 'real' }).click();
    await page.getByText('It lists worker-llm-8080@gpu-0, which is a worker of gpu-0').waitFor();
    t.same(await axeViolations(page), []);
    await page.unroute('**/v1/hives');
    await page.goto(`${swarm.queen.url}/#/`);
    await page.reload();
    await trouble.waitFor({ state: 'detached' });
  });

  t.test('a hive that announces itself and cannot be reached is shown with a remedy', async (t) => {
    await fetch(`${swarm.queen.url}/v1/hive/ready`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ hive_id: 'walled', hive_url: 'http://127.0.0.1:9' }),
    });
    const walled = page.locator('[data-unreachable="walled"]');
    await walled.waitFor();
    t.match(
      await walled.innerText(),
      /announced itself at http:\/\/127\.0\.0\.1:9[\s\S]*To fix it, [\s\S]*--advertise-url/,
    );
    t.same(await axeViolations(page), []);
  });
}

/** Charts across a restart, and hidden tabs. */
function returns(t: Test, swarm: Swarm): void {
  const { chromium, page } = swarm;
  t.test('the charts of an open page survive a restart of the queen', async (t) => {
    const { page } = await chromium.open('about:blank', { expected: /./ });
    const step_ms = 5_000;
    const half = Array.from({ length: 120 }, () => 50);
    const until = new Date(Math.ceil(Date.now() / step_ms) * step_ms).toISOString();
    const history = { hive_id: 'gpu-0', until, step_ms, cpu_pct: half, ram_used_mb: half, gpus: [] };
    await page.route('**/v1/hives/gpu-0/history', (route) => route.fulfill({ json: history }), { times: 1 });
    await page.goto(`${swarm.queen.url}/#/hives/gpu-0`);
    const cpu = page.locator('.chart').first();
    await cpu.locator('.u-over').hover();
    await cpu.locator('.key', { hasText: '50 %' }).waitFor();
    const asked = page.waitForResponse((response) => response.url().endsWith('/history'));
    swarm.queen = await restart(swarm.queen);
    await asked;
    await page.locator('.link.open').waitFor();
    await cpu.locator('.u-over').hover();
    await cpu.locator('.key', { hasText: '50 %' }).waitFor();
    t.pass('the values from before are shown');
    await page.context().close();
  });

  t.test('a hidden tab closes its stream, and is complete again when it is shown', async (t) => {
    await waitFor('no other page', async () => (await readersOf(swarm.queen.url)) === 1);
    await showPage(page, 'hidden');
    await waitFor('the queen without readers', async () => (await readersOf(swarm.queen.url)) === 0);
    await shownHive(t, swarm.queen.url, { hiveId: 'meanwhile' });
    t.equal(await page.locator(card('meanwhile')).count(), 0);
    await showPage(page, 'visible');
    await page.locator(inState('meanwhile', 'streaming')).waitFor();
  });

  t.test('events from before the stream was closed are not drawn after it is open again', async (t) => {
    const { heard, draw } = await holdFrames(page);
    const forgotten = await shownHive(t, swarm.queen.url, { hiveId: 'forgotten' });
    await heard('"hive_telemetry","hive_id":"forgotten"');
    await showPage(page, 'hidden');
    await waitFor('the queen without readers', async () => (await readersOf(swarm.queen.url)) === 0);
    await forgotten.close();
    await forget(`${swarm.queen.url}/v1/hives/forgotten`);
    await showPage(page, 'visible');
    await waitFor('the queen with its reader', async () => (await readersOf(swarm.queen.url)) === 1);
    await draw();
    await shownHive(t, swarm.queen.url, { hiveId: 'after' });
    await page.locator(inState('after', 'streaming')).waitFor();
    t.equal(await page.locator(card('forgotten')).count(), 0);
  });

  t.test('a hive that is forgotten and returns within a frame keeps its card', async (t) => {
    const again = await shownHive(t, swarm.queen.url, { hiveId: 'again' });
    await page.locator(`${card('again')} .value`, { hasText: '37' }).waitFor();
    const { heard, draw } = await holdFrames(page);
    await again.close();
    await forget(`${swarm.queen.url}/v1/hives/again`);
    await again.listen();
    await again.announce(swarm.queen.url);
    await heard('"hive_telemetry","hive_id":"again"');
    await draw();
    again.emit(eventOf({ hiveId: 'again', node: { ...NODE, cpu_pct: 81 } }));
    await page.locator(`${card('again')} .value`, { hasText: '81' }).waitFor();
  });

  t.test('a tab that is shown again while the queen is offline shows how old its values are', async (t) => {
    await showPage(page, 'hidden');
    await waitFor('the queen without readers', async () => (await readersOf(swarm.queen.url)) === 0);
    await swarm.queen.kill('SIGKILL');
    await page.waitForTimeout(UNSEEN_MS);
    await showPage(page, 'visible');
    const banner = page.locator('.banner');
    await banner.waitFor();
    const [, s] = /What you see is from (\d+)\s?s ago/.exec(await banner.innerText()) ?? [];
    t.ok(Number(s) * 1_000 >= UNSEEN_MS, `${s} s`);
    swarm.queen = await restart(swarm.queen);
    await page.locator('.link.open').waitFor();
  });
}

/** An empty swarm, and accessibility. */
function wholePage(t: Test, swarm: Swarm): void {
  const { chromium, page, problems, empty } = swarm;
  t.test('an empty swarm shows how to add the first hive', async (t) => {
    const { page, problems } = await chromium.open(empty.url);
    await page.getByText('No hive yet').waitFor();
    t.match(await page.locator('.command').first().innerText(), `rbee hive --queen-url ${empty.url}`);
    t.same(await problems(), []);
    t.same(await axeViolations(page), []);
    await startProcess(t, { name: 'hive', args: ['--hive-id', 'first', '--queen-url', empty.url] });
    await page.locator(inState('first', 'streaming')).waitFor();
    await page.context().close();
  });

  t.test('the page is accessible: dark and light, at three widths', async (t) => {
    for (const [at, there] of [
      ['#/', card('gpu-0')],
      ['#/hives/gpu-0', '.statechart'],
    ] as const) {
      await page.goto(`${swarm.queen.url}/${at}`);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        for (const width of [390, 820, 1440]) {
          await page.setViewportSize({ width, height: 900 });
          await page.locator(there).first().waitFor();
          t.same(await axeViolations(page), [], `${at}, ${colorScheme}, ${width}`);
          t.notOk(await page.evaluate('document.documentElement.scrollWidth > innerWidth'), 'nothing is cut off');
        }
      }
    }
  });

  t.test('the page had no errors, and sent requests to its queen only', async (t) => {
    t.same(await problems(), []);
  });
}

t.test('behind a token', { skip }, async (t) => {
  const chromium = await startChromium(t);
  let queen = await startProcess(t, { name: 'queen', env: { RBEE_TOKEN: 'a-secret-token' } });
  await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'guarded', '--queen-url', queen.url],
    env: { RBEE_TOKEN: 'a-secret-token' },
  });
  const { page, problems } = await chromium.open(queen.url, {
    expected: /401 \(Unauthorized\)|404|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE/,
  });

  t.test('the page asks for the token, and refuses a wrong one', async (t) => {
    await page.getByLabel('Token').waitFor();
    t.equal(await page.title(), 'Log in · rbee');
    t.same(await axeViolations(page), []);
    await page.getByLabel('Token').fill('a-wrong-token');
    await page.keyboard.press('Enter');
    await page.getByText('Wrong token.').waitFor();
    t.equal(await page.locator('.card').count(), 0);
  });

  t.test('with the right token the swarm is shown, also after a reload', async (t) => {
    await page.getByLabel('Token').fill('a-secret-token');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator(inState('guarded', 'streaming')).waitFor();
    await page.reload();
    await page.locator(inState('guarded', 'streaming')).waitFor();
    t.notMatch(
      await page.evaluate('document.cookie + JSON.stringify(localStorage)'),
      /secret/,
      'scripts cannot read it',
    );
    t.notMatch(page.url(), /secret/);
  });

  t.test(
    'on a phone the header is one line, and an empty swarm with a token does not ask for another token',
    async (t) => {
      await page.setViewportSize({ width: 390, height: 844 });
      const { height = 0 } = (await page.locator('header.top').boundingBox()) ?? {};
      t.ok(height > 0 && height < 60, `${height} px`);
      t.ok(await page.getByRole('button', { name: 'Log out' }).isVisible());
      t.same(await axeViolations(page), []);
      await page.setViewportSize({ width: 1440, height: 900 });
      const lonely = await startProcess(t, { name: 'queen', env: { RBEE_TOKEN: 'a-secret-token' } });
      const other = await chromium.open(lonely.url, { expected: /401/ });
      await other.page.getByLabel('Token').fill('a-secret-token');
      await other.page.keyboard.press('Enter');
      await other.page.getByText('No hive yet').waitFor();
      t.equal(await other.page.getByText('openssl').count(), 0);
      await other.page.getByText('export RBEE_TOKEN="…the token that you logged in with…"').waitFor();
      await other.page.context().close();
    },
  );

  t.test('a failed log-out is shown, and can be repeated', async (t) => {
    await queen.kill('SIGKILL');
    await page.locator('.banner').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByText('You are still logged in: no answer').waitFor();
    queen = await restart(queen);
    await page.locator('.link.open').waitFor();
    await page.reload();
    await page.locator(inState('guarded', 'streaming')).waitFor();
    t.ok(await page.getByRole('button', { name: 'Log out' }).isVisible());
  });

  t.test('after a log-out the page asks for the token, and nothing is left in the browser', async (t) => {
    await page.getByRole('link', { name: 'Chat' }).click();
    await page.getByLabel('Message').fill('a private draft');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Token').waitFor();
    const kept = await page.evaluate<string>('JSON.stringify([localStorage, sessionStorage])');
    t.notMatch(kept, 'a private draft');
    await page.reload();
    await page.getByLabel('Token').waitFor();
    t.same(await problems(), []);
  });
});

/** How many readers the stream of the queen at `url` has. */
async function readersOf(url: string): Promise<number> {
  const { body } = await getJson(`${url}/metrics`);
  return Number(/^rbee_heartbeat_stream_readers (\d+)/m.exec(body)?.[1]);
}

/** Holds drawing back until `draw`; `heard` waits until the page has parsed an event that contains this text. */
async function holdFrames(page: Page): Promise<{ heard: (part: string) => Promise<void>; draw: () => Promise<void> }> {
  await page.evaluate(`
    self.held = { parsed: '', frames: [], parse: JSON.parse, request: requestAnimationFrame };
    JSON.parse = (text) => { held.parsed += text; return held.parse(text); };
    requestAnimationFrame = (frame) => held.frames.push(frame);`);
  return {
    heard: (part) => waitFor(part, () => page.evaluate<boolean>(`held.parsed.includes('${part}')`)).then(() => {}),
    draw: () =>
      page.evaluate(`JSON.parse = held.parse; requestAnimationFrame = held.request; held.frames.forEach(held.request)`),
  };
}

/** Forgets a hive as soon as the queen has noticed that it is lost. */
const forget = (url: string) =>
  waitFor('a hive that can be forgotten', async () => (await fetch(url, { method: 'DELETE' })).ok);
