/** Chatting with a model in a real browser: a real queen, and a fake worker. */
import t, { type Test } from 'tap';
import { fakeWorker, TOKENS } from '../fakes/openai-worker.js';
import { axeViolations, noChromium, startChromium } from '../helpers/browser.js';
import { getJson } from '../helpers/http.js';
import { restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const skip = noChromium();
const THINKING_MS = 500;

t.test('chat', { skip }, async (t) => {
  const chat = await startChat(t);
  answers(t, chat);
  kindsOfAnswers(t, chat);
  tabsAndText(t, chat);
  stopping(t, chat);
  keptChats(t, chat);
});

type Chat = Awaited<ReturnType<typeof startChat>>;

/** A queen, a worker with the model `tiny`, and the chat in a browser. */
async function startChat(t: Test) {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen' });
  const fake = await fakeWorker(t, { workerId: 'worker-llm-8080@none', model: 'tiny' });
  await fake.heartbeat(queen.url);
  await waitFor('the model', async () => (await getJson(`${queen.url}/v1/models`)).body.data.length === 1);
  const { page, problems } = await chromium.open(`${queen.url}/#/chat`, {
    expected: /400|404|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE/,
  });
  const message = page.getByLabel('Message');
  await page.getByText('Ask tiny something').waitFor();
  const say = async (text: string) => {
    await message.fill(text);
    await message.press('Enter');
  };
  return { chromium, fake, page, problems, message, say, queen };
}

/** Answers, whole and not. */
function answers(t: Test, chat: Chat): void {
  const { fake, page, message, say } = chat;
  t.test('a draft survives a reload', async (t) => {
    await message.fill('half a sent');
    await page.reload();
    t.equal(await message.inputValue(), 'half a sent');
  });

  t.test('an answer is shown as it is generated, with the worker that gave it', async (t) => {
    await say('hello');
    await page.locator('.assistant', { hasText: 'Hello, swarm!' }).waitFor();
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    t.match(await page.locator('.assistant .by').innerText(), /worker-llm-8080@none[\s\S]*4 tokens/);
    t.match(fake.asked.at(-1)?.body, { model: 'tiny', stream: true, messages: [{ role: 'user', content: 'hello' }] });
    t.same(await axeViolations(page), []);
  });

  t.test('an answer can be stopped: the worker stops, and the text so far is kept', async (t) => {
    fake.mode = 'hold';
    await say('slowly now');
    await page.locator('.assistant').nth(1).getByText('Hello').waitFor();
    const aborted = fake.aborted;
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('.assistant .broken', { hasText: 'stopped' }).waitFor();
    await waitFor('the worker', () => fake.aborted === aborted + 1);
    t.equal(await page.locator('.assistant').nth(1).locator('.text').innerText(), 'Hello');
  });

  t.test('an answer that breaks off is marked so, and can be requested again', async (t) => {
    fake.mode = 'torn';
    await page.getByRole('button', { name: 'Ask again' }).click();
    await page.locator('.assistant').nth(1).locator('.broken').waitFor();
    t.notMatch(await page.locator('.assistant').nth(1).locator('.broken').innerText(), /^stopped$/);
    fake.mode = 'answer';
    await waitFor('the worker again', async () => {
      await fake.heartbeat(chat.queen.url);
      return (await getJson(`${chat.queen.url}/v1/models`)).body.data.length === 1;
    });
    await page.getByRole('button', { name: 'Ask again' }).click();
    await page.locator('.assistant', { hasText: 'Hello, swarm!' }).nth(1).waitFor();
  });

  t.test('a reload in the middle of an answer keeps the text so far', async (t) => {
    fake.mode = 'hold';
    await say('and now?');
    await page.locator('.assistant').nth(2).getByText('Hello').waitFor();
    await page.reload();
    await page.locator('.assistant').nth(2).getByText('the page was closed').waitFor();
    t.equal(await page.locator('.assistant').nth(2).locator('.text').innerText(), 'Hello');
    t.equal(await page.locator('.user').count(), 3);
  });

  t.test('a new chat in the middle of an answer is empty, and can be used at once', async (t) => {
    await say('never mind');
    await page.locator('.assistant').nth(3).getByText('Hello').waitFor();
    const aborted = fake.aborted;
    await page.getByRole('button', { name: 'New chat' }).click();
    await waitFor('the worker', () => fake.aborted === aborted + 1);
    fake.mode = 'answer';
    await say('something else');
    await page.locator('.assistant', { hasText: 'Hello, swarm!' }).waitFor();
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    t.same(await page.locator('.user .text').allInnerTexts(), ['something else']);
  });
}

/** Reasoning, refusals, and the choice of the model. */
function kindsOfAnswers(t: Test, chat: Chat): void {
  const { fake, page, say } = chat;
  t.test('reasoning is shown as such, and counted with the time that it takes', async (t) => {
    fake.mode = 'think';
    await say('think first');
    await page.getByText('Thinking …').waitFor();
    await page.waitForTimeout(THINKING_MS);
    fake.finish();
    fake.mode = 'answer';
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    const answer = page.locator('.assistant').last();
    t.equal(await answer.locator('.text').innerText(), 'Hello, swarm!');
    const [, perS] = /([\d.]+) tokens\/s[\s\S]*6 tokens/.exec(await answer.locator('.by').innerText()) ?? [];
    t.ok(Number(perS) <= 5 / (THINKING_MS / 1000), `${perS} tokens/s`);
  });

  t.test('a refused request shows the reason, and is not repeated', async (t) => {
    fake.mode = 400;
    await say('refuse this');
    await page.locator('.broken').waitFor();
    t.equal(await page.locator('.broken').innerText(), 'the fake answers 400');
    fake.mode = 'answer';
  });

  t.test('the chosen model stays chosen while no worker offers it', async (t) => {
    const other = await fakeWorker(t, { workerId: 'worker-llm-8081@none', model: 'another' });
    await other.heartbeat(chat.queen.url);
    const choice = page.getByLabel('Model');
    await choice.locator('option', { hasText: 'another' }).waitFor({ state: 'attached' });
    fake.status = 'loading';
    await fake.heartbeat(chat.queen.url);
    await choice.locator('option', { hasText: 'tiny (not available now)' }).waitFor({ state: 'attached' });
    t.equal(await choice.inputValue(), 'tiny');
    fake.status = 'ready';
    await fake.heartbeat(chat.queen.url);
    await choice.locator('option', { hasText: 'not available' }).waitFor({ state: 'detached' });
    t.equal(await choice.inputValue(), 'tiny');
    t.same(await choice.locator('option').allInnerTexts(), ['another', 'tiny']);
  });
}

/** A second tab, Markdown, and what no parser can read. */
function tabsAndText(t: Test, chat: Chat): void {
  const { fake, page, say } = chat;
  t.test('a second tab shows the same conversation, and closing it removes nothing', async (t) => {
    const open = async (init: string) => {
      const tab = await page.context().newPage();
      await tab.addInitScript(init);
      await tab.goto(`${chat.queen.url}/#/chat`);
      await tab.locator('.user').first().waitFor();
      return tab;
    };
    const second = await open('');
    const deaf = await open(`addEventListener('storage', (event) => event.stopImmediatePropagation(), true)`);
    await say('sent in the first tab');
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    await second.locator('.user', { hasText: 'sent in the first tab' }).waitFor();
    for (const tab of [deaf, second]) await tab.goto('about:blank');
    await page.reload();
    await page.locator('.user').first().waitFor();
    t.equal(await page.locator('.user').last().locator('.text').innerText(), 'sent in the first tab');
    for (const tab of [deaf, second]) await tab.close();
  });

  t.test('every word of an answer is shown: fences in lines and in code, HTML, all kinds of links', async (t) => {
    fake.tokens = [
      'Write ``` three backticks ``` in a line.\n\n',
      '````md\n```js\nlet inner = 1;\n```\n````\n\n',
      '- **bold** and `code`\n- <img src=x onerror="document.title=1"> &lt;b&gt;\n\n',
      '[bad](javascript:alert(1)) [good](https://example.org/) ![picture](https://example.org/p.png)\n\n',
      '[reference]: https://example.org/r\n\n| a | b |\n|---|---|\n| cell | last |\n',
    ];
    await say('all of Markdown');
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    const answer = page.locator('.assistant').last().locator('.text');
    t.match(await answer.innerText(), 'Write three backticks in a line.');
    t.equal(await answer.locator('pre').innerText(), '```js\nlet inner = 1;\n```');
    t.match(await answer.innerText(), '<img src=x onerror="document.title=1"> <b>');
    t.match(await answer.innerText(), '[bad](javascript:alert(1)) good picture');
    t.match(await answer.innerText(), '[reference]: https://example.org/r');
    t.same(await answer.locator('strong, li code, td').allInnerTexts(), ['bold', 'code', 'cell', 'last']);
    t.equal(await page.locator('img').count(), 0);
    t.same(
      await answer
        .locator('a')
        .evaluateAll((links) => links.map((a) => `${a.getAttribute('href')} ${a.getAttribute('rel')}`)),
      ['https://example.org/ noopener noreferrer', 'https://example.org/p.png noopener noreferrer'],
    );
    t.same(await axeViolations(page), []);
    fake.tokens = TOKENS;
  });

  t.test('text that cannot be parsed in reasonable time is shown unformatted', async (t) => {
    const text = `${'> '.repeat(25_000)}end`;
    fake.tokens = [text];
    await say('nested without an end');
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    t.equal((await page.locator('.assistant').last().locator('.text').innerText()).length, text.length);
    fake.tokens = TOKENS;
  });
}

/** Stopping, and two tabs at once. */
function stopping(t: Test, chat: Chat): void {
  const { fake, page, say } = chat;
  t.test('Esc stops an answer', async (t) => {
    fake.mode = 'hold';
    await say('wait for Esc');
    await page.locator('.assistant').last().getByText('Hello').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.assistant').last().locator('.broken', { hasText: 'stopped' }).waitFor();
    fake.mode = 'answer';
    t.pass('stopped');
  });

  t.test(
    'two tabs with answers at the same time lose nothing, and a new chat in one does not affect the other',
    async (t) => {
      await page.getByRole('button', { name: 'New chat' }).click();
      await say('the beginning');
      await page.getByRole('button', { name: 'Ask again' }).waitFor();
      const second = await page.context().newPage();
      await second.goto(`${chat.queen.url}/#/chat`);
      await second.locator('.user', { hasText: 'the beginning' }).waitFor();
      fake.mode = 'hold';
      await say('asked in the first tab');
      await page.locator('.assistant').nth(1).getByText('Hello').waitFor();
      await second.getByLabel('Message').fill('asked in the second tab');
      await second.getByLabel('Message').press('Enter');
      await waitFor('both requests', () => fake.open === 2);
      fake.finish();
      fake.mode = 'answer';
      const sent = ['the beginning', 'asked in the first tab'];
      for (const [tab, texts] of [
        [page, sent],
        [second, [...(await second.locator('.user .text').allInnerTexts())]],
      ] as const) {
        await tab.getByRole('button', { name: 'Ask again' }).waitFor();
        await tab.reload();
        await tab.locator('.assistant', { hasText: 'Hello, swarm!' }).nth(1).waitFor();
        t.same(await tab.locator('.user .text').allInnerTexts(), texts);
      }
      t.match((await second.locator('.user .text').allInnerTexts()).at(-1), 'asked in the second tab');
      await second.getByRole('button', { name: 'New chat' }).click();
      await second.getByText('Ask tiny something').waitFor();
      await page.reload();
      await page.locator('.user').nth(1).waitFor();
      t.same(await page.locator('.user .text').allInnerTexts(), sent);
      await second.close();
    },
  );
}

/** Earlier chats, and a queen that is offline. */
function keptChats(t: Test, chat: Chat): void {
  const { chromium, fake, page, problems, say } = chat;
  t.test('an earlier chat can be opened again, and a deleted one is gone', async (t) => {
    const chats = page.getByLabel(/^Chat/);
    await page.getByRole('button', { name: 'New chat' }).click();
    await say('a chat of its own');
    await page.getByRole('button', { name: 'Ask again' }).waitFor();
    const earlier = (await chats.locator('option', { hasText: 'the beginning' }).first().getAttribute('value')) ?? '';
    await chats.selectOption(earlier);
    await page.locator('.user', { hasText: 'asked in the first tab' }).waitFor();
    await chats.selectOption({ label: 'a chat of its own' });
    await page.locator('.user', { hasText: 'a chat of its own' }).waitFor();
    t.same(await axeViolations(page), []);
    await page.getByRole('button', { name: 'Delete chat' }).click();
    await page.getByText('Ask tiny something').waitFor();
    await page.reload();
    t.equal(await chats.locator('option', { hasText: 'a chat of its own' }).count(), 0);
    t.notMatch(await page.evaluate('JSON.stringify(localStorage)'), 'a chat of its own');
  });

  t.test('while the queen is offline the page shows that, and a message is answered when it is back', async (t) => {
    const before = await page.locator('.assistant').count();
    await chat.queen.kill('SIGKILL');
    await page.locator('.banner').waitFor();
    await say('are you there?');
    await page.getByText('The queen is offline. Your message is sent when it is back.').waitFor();
    t.same(await axeViolations(page), []);
    chat.queen = await restart(chat.queen);
    await fake.heartbeat(chat.queen.url);
    await page.locator('.assistant').nth(before).getByText('Hello, swarm!').waitFor();
    t.equal(fake.asked.filter(({ body }) => body.messages.at(-1).content === 'are you there?').length, 1);
  });

  t.test('a part of the page that was not loaded before the queen went offline opens when it is back', async (t) => {
    const { page } = await chromium.open('about:blank', { expected: /./ });
    await page.route('**/assets/chat-*.js', (route) => route.abort());
    await page.goto(`${chat.queen.url}/`);
    await page.locator('.link.open').waitFor();
    await chat.queen.kill('SIGKILL');
    await page.locator('.banner').waitFor();
    await page.getByRole('link', { name: 'Chat' }).click();
    await page.getByText('It opens as soon as the queen is back.').waitFor();
    await page.unroute('**/assets/chat-*.js');
    chat.queen = await restart(chat.queen);
    await page.getByLabel('Message').waitFor();
    t.match(page.url(), /#\/chat$/);
    await page.context().close();
  });

  t.test('without a worker the page shows how to spawn one', async (t) => {
    const lonely = await startProcess(t, { name: 'queen' });
    const { page } = await chromium.open(`${lonely.url}/#/chat`);
    await page.getByText('No worker is available').waitFor();
    t.ok(await page.getByRole('button', { name: 'Send' }).isDisabled());
    t.same(await axeViolations(page), []);
    t.same(await problems(), []);
  });
}
