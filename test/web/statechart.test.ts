/** Statecharts as a browser draws them: every machine of every kind of process. */
import t from 'tap';
import type { MachineEntry, MachineList } from '../../wire/machines.js';
import { noChromium, startChromium } from '../helpers/browser.js';
import { getJson } from '../helpers/http.js';
import { shownHive } from '../helpers/picture.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

/** In the page: what lies on what. Lines are looked at every two pixels. */
const CROSSINGS = `[...document.querySelectorAll('.statechart')].flatMap((figure) => {
  const boxOf = (element, name, pad) => {
    const { x, y, width, height } = element.getBBox();
    return { name, left: x + pad, right: x + width - pad, top: y + pad, bottom: y + height - pad };
  };
  const states = [...figure.querySelectorAll('.node:not(.compound)')].map((node) => boxOf(node, node.dataset.state, 1));
  const labels = [...figure.querySelectorAll('[data-label] text, .node.compound > text')].map((text) =>
    boxOf(text, text.parentElement.dataset.label ?? 'title of ' + text.parentElement.dataset.state, 1));
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const boxes = [...states, ...labels];
  const found = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => meet(a, b)).map((b) => a.name + ' lies on ' + b.name));
  for (const edge of figure.querySelectorAll('[data-edge]')) {
    const path = edge.querySelector('path');
    const ends = edge.dataset.edge.split(' ');
    const others = [...labels.filter(({ name }) => name !== edge.dataset.edge), ...states.filter(({ name }) => !ends.includes(name))];
    const crossed = new Set();
    for (let at = 0; at < path.getTotalLength(); at += 2) {
      const { x, y } = path.getPointAtLength(at);
      for (const { name, left, right, top, bottom } of others) if (x > left && x < right && y > top && y < bottom) crossed.add(name);
    }
    for (const name of crossed) found.push('the line ' + edge.dataset.edge + ' crosses ' + name);
  }
  return found.map((text) => figure.querySelector('svg').getAttribute('aria-label') + ': ' + text);
})`;

t.test('statecharts', { skip: noChromium() }, async (t) => {
  const chromium = await startChromium(t);
  const registry = await startProcess(t, { name: 'registry' });
  const more = ['--registry-url', registry.url];
  const queen = await startProcess(t, { name: 'queen', args: more });
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', ...more] });
  const keeper = await startProcess(t, { name: 'keeper', args: ['--queen-url', queen.url, ...more] });
  const lost = await shownHive(t, queen.url, { hiveId: 'lost' });
  await lost.close();
  await waitFor('both hives', async () => {
    const { hives } = (await getJson(`${queen.url}/v1/hives`)).body as { hives: { state: string }[] };
    return (
      hives
        .map(({ state }) => state)
        .sort()
        .join(' ') === 'lost streaming'
    );
  });
  const all = await Promise.all(
    [queen, hive, keeper, registry].map(
      async ({ url }) => ((await getJson(`${url}/v1/machines`)).body as MachineList).machines,
    ),
  );
  const hasStates = ({ definition }: MachineEntry) => Object.keys((definition as { states: object }).states).length > 0;
  const kinds = new Map(
    all
      .flat()
      .filter(hasStates)
      .map((entry) => [entry.machine, entry]),
  );
  const { page, problems } = await chromium.open(queen.url);
  await page.route('**/v1/machines?under=*', (route) => route.fulfill({ json: { machines: [...kinds.values()] } }));
  await page.goto(`${queen.url}/#/hives/gpu-0`);
  await waitFor('all of them', async () => (await page.locator('.statechart').count()) === kinds.size);
  t.ok(kinds.size >= 6, [...kinds.keys()].join(' '));

  t.test('no line crosses a label or a state, and nothing overlaps', async (t) => {
    t.same(await page.evaluate<string[]>(CROSSINGS), []);
  });

  t.test('every transition between states is drawn, with the eventless and the initial ones', async (t) => {
    const subscription = page.locator('.statechart', { has: page.locator('svg[aria-label^="hive-subscription"]') });
    const edges = await subscription
      .locator('[data-edge]')
      .evaluateAll((groups) => groups.map((group) => group.getAttribute('data-edge')));
    t.same(edges.filter((edge) => edge?.startsWith('connecting.choosing')).sort(), [
      'connecting.choosing connecting.asking',
      'connecting.choosing connecting.opening',
    ]);
    t.same(edges.filter((edge) => edge?.startsWith('connecting.failed')).sort(), [
      'connecting.failed gone',
      'connecting.failed lost',
    ]);
    t.same(edges.filter((edge) => /^(\w+)?\. /.test(edge ?? '')).sort(), [
      '. connecting',
      'connecting. connecting.choosing',
      'streaming. streaming.fresh',
    ]);
    t.same(await problems(), []);
  });
});
