/** The keeper's page in a real browser: a worker is spawned, used in a chat and stopped, without a queen. */
import t from 'tap';
import { SENTENCE } from '../../cli/tiny-gguf.js';
import { axeViolations, noChromium, startChromium } from '../helpers/browser.js';
import { getJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { tinyModel } from '../helpers/worker.js';

const LOADING_MS_MAX = 60_000;

t.test('the page of a keeper', { skip: noChromium() }, async (t) => {
  const chromium = await startChromium(t);
  const model = tinyModel(t);
  const registry = await startProcess(t, { name: 'registry', args: ['--heartbeat-interval', '1s'] });
  const keeper = await startProcess(t, {
    name: 'keeper',
    args: ['--keeper-id', 'keeper-desk', '--registry-url', registry.url],
  });
  t.teardown(() => keeper.kill().catch(() => {}));
  const { page, problems } = await chromium.open(keeper.url);
  const form = page.locator('form.spawn');
  const header = page.locator('header.top');

  t.test('is complete without a queen, and shows what can be done', async (t) => {
    await page.getByRole('heading', { name: 'No hive yet' }).waitFor();
    await header.getByText('keeper-desk').waitFor();
    t.match(await header.innerText(), /keeper-desk[\s\S]*keeper · no queen[\s\S]*live/);
    t.same(await axeViolations(page), []);
    await page.getByRole('link', { name: 'spawn a worker on this machine' }).click();
  });

  t.test('shows which of its own workers crashed, and does not count it as running', async (t) => {
    await form.getByLabel('Model').fill('/nowhere/at-all.gguf');
    await form.getByRole('button', { name: 'Spawn' }).click();
    await page.locator('[data-job="failed"]').waitFor({ timeout: LOADING_MS_MAX });
    await page.getByRole('link', { name: 'Swarm', exact: true }).click();
    const trouble = page.locator('[data-trouble]');
    await trouble.waitFor();
    t.match(await trouble.innerText(), /this machine 1 crashed[\s\S]*worker-llm-\w+@keeper-desk \(at-all\) crashed: /);
    t.match(await page.title(), /^\(1\) /);
    await page.getByRole('link', { name: 'spawn a worker on this machine' }).waitFor();
    t.same(await axeViolations(page), []);
    await trouble.getByRole('button', { name: 'Dismiss' }).click();
    await trouble.waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Workers' }).click();
  });

  t.test('spawns a worker on this machine, and shows it', async (t) => {
    await form.waitFor();
    t.same(await form.getByLabel('Machine').locator('option').allInnerTexts(), ['this machine']);
    await form.getByLabel('Model').fill(model);
    await form.getByRole('button', { name: 'Spawn' }).click();
    await page.locator('[data-job="done"]', { hasText: 'Spawn' }).waitFor({ timeout: LOADING_MS_MAX });
    const row = page.getByRole('row', { name: /worker-llm-\d+/ });
    await row.waitFor();
    t.match(await row.innerText(), /this machine\s+ready\s+tiny\s+context 512, 4 slots\s+CPU-0/);
    t.same(await axeViolations(page), []);
  });

  t.test('chats with it', async (t) => {
    await page.getByRole('link', { name: 'Chat' }).click();
    await page.getByText('Ask tiny something').waitFor();
    await page.getByLabel('Message').fill('Who are you?');
    await page.getByLabel('Message').press('Enter');
    await page.locator('.assistant', { hasText: SENTENCE }).waitFor();
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    t.match(await page.locator('.assistant .by').innerText(), /worker-llm-\d+@keeper-desk/);
  });

  t.test('shows a hive and a queen that come later, and goes on when the queen leaves', async (t) => {
    const more = ['--registry-url', registry.url];
    await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', ...more] });
    const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-late', ...more] });
    await header.getByText('with queen-late').waitFor();
    await page.getByRole('link', { name: 'Swarm', exact: true }).click();
    await page.locator('.cards').getByText('gpu-0').waitFor();
    await page.getByRole('link', { name: 'Workers' }).click();
    t.same(await form.getByLabel('Machine').locator('option').allInnerTexts(), ['this machine', 'gpu-0']);
    await queen.kill('SIGKILL');
    await header.getByText('queen-late is lost').or(header.getByText('no queen')).waitFor();
    t.match(await header.innerText(), /live/);
    await page.getByRole('row', { name: /worker-llm-\d+/ }).waitFor();
  });

  t.test('stops it after a confirmation', async (t) => {
    await page.getByRole('button', { name: /^Stop worker-llm-/ }).click();
    await page.getByRole('button', { name: 'Stop it' }).click();
    await page.getByText('is gone').waitFor();
    await page.getByText('No worker runs yet').waitFor();
    await waitFor('no model', async () => (await getJson(`${keeper.url}/v1/models`)).body.data.length === 0);
    t.same(await problems(), []);
  });
});
