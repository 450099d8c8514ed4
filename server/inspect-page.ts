/**
 * The page of `--inspect`. At the top, Stately Inspector: an external page in a frame, which gets the events of this
 * process. Below it, a table of our own that needs nothing from outside. Data is only ever set as text.
 */
export const INSPECTOR_ORIGIN = 'https://stately.ai';

export function inspectPage({ title, nonce }: { title: string; nonce: string }): string {
  const name = title.replace(/[<>&"']/g, (char) => `&#${char.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${name} · machines</title>
<style nonce="${nonce}">${STYLE}</style>
<header>
  <h1>${name}</h1>
  <span id="state" role="status">connecting</span>
  <span id="counts"></span>
</header>
<form id="login" hidden>
  <label for="token">This process requires its token.</label>
  <input id="token" type="password" autocomplete="current-password" maxlength="4096" required>
  <button>Log in</button>
  <span id="refused" role="alert"></span>
</form>
<main hidden>
  <section aria-label="Stately Inspector">
    <p id="note">Stately Inspector is being loaded from stately.ai.</p>
    <iframe id="stately" title="Stately Inspector" referrerpolicy="no-referrer"
      sandbox="allow-scripts allow-same-origin allow-forms allow-popups"></iframe>
  </section>
  <table>
    <caption>Machines, live. Open one for its last transitions and its context.</caption>
    <thead><tr><th>id<th>machine<th>state<th>since<th>last event<th>reason</thead>
    <tbody></tbody>
  </table>
</main>
<script nonce="${nonce}">${SCRIPT}</script>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c1b19; --soft: #66625b; --line: #dcd8d0; --ground: #fbfaf8; --mark: #f6c445;
  --live: #1f7a3d; --warn: #a4460b; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground); }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ece9e3; --soft: #a39e95; --line: #3a3833; --ground: #191816; --mark: #8a6a10; --live: #6fcf8e; --warn: #f0a35e; }
}
[hidden] { display: none !important; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
#state::before { content: '● '; }
#state.live { color: var(--live); }
#state:not(.live), #refused { color: var(--warn); }
#counts, caption, th, time { color: var(--soft); }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: 2rem 0; }
input, form button { font: inherit; padding: .35rem .6rem; }
section { position: relative; margin: 1rem 0; border: 1px solid var(--line); border-radius: .4rem; overflow: hidden; }
#note { margin: 0; padding: .75rem 1rem; color: var(--soft); }
iframe { display: block; border: 0; width: 100%; height: min(70vh, 44rem); }
/* It has its size before it is shown, and takes no space until then. */
section:not(.connected) iframe { position: absolute; visibility: hidden; }
table { width: 100%; border-collapse: collapse; }
caption { text-align: left; padding-bottom: .4rem; }
th { font-weight: normal; text-align: left; }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tbody > tr.machine { cursor: pointer; }
tr.machine > :nth-child(2) { overflow-wrap: normal; }
tbody > tr.machine:hover { background: color-mix(in srgb, var(--line) 35%, transparent); }
td button { all: unset; cursor: pointer; font-weight: 600; }
td button::before { content: '▸ '; color: var(--soft); }
td button[aria-expanded=true]::before { content: '▾ '; }
:focus-visible { outline: 2px solid var(--mark) !important; outline-offset: 2px; }
time, .value { white-space: nowrap; }
.value { padding: 0 .35rem; border: 1px solid var(--line); border-radius: .3rem; }
.changed { animation: changed 2s ease-out; }
@keyframes changed { from { background: var(--mark); } }
.detail > td { padding: .4rem 0 1rem 1.2rem; }
.detail table, pre { max-height: 18rem; overflow: auto; }
.detail table { display: block; font-size: .9em; }
.detail table td { padding-right: 1.2rem; }
pre { margin: .6rem 0 0; padding: .6rem; border: 1px solid var(--line);
  border-radius: .3rem; white-space: pre-wrap; font-size: .85em; }
@media (prefers-reduced-motion: reduce) { .changed { animation: none; } }
@media (max-width: 40rem) {
  thead { display: none; }
  tr, td { display: block; }
  td { border: 0; padding: .1rem 0; }
  td[data-label]:empty { display: none; }
  td[data-label]::before { content: attr(data-label) ' '; color: var(--soft); }
  tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
}
`;

/** This is a template string: no backslashes and no further template strings in it. */
const SCRIPT = `'use strict';
const STATELY = '${INSPECTOR_ORIGIN}';
const RETRY_MS = 2000, STATELY_MS = 5000, TRANSITIONS_MAX = 50;
const UNREACHABLE = 'Stately Inspector is loaded from stately.ai, which cannot be reached; the table below needs nothing from outside.';
const at = (selector) => document.querySelector(selector);
const make = (tag, text, className) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};
const frame = at('iframe'), body = at('tbody');

/** By id: each machine, and its rows. */
const machines = new Map();
const open = new Set(), dirty = new Set();
let stately = false, table = null, relay = null, retry, drawing = false, disordered = false;
let transitions = 0, relayed = 0, serial = 0;

function showState(text) {
  at('#state').textContent = text;
  at('#state').className = text;
}

/** Starts over: whether a log-in is needed, then the table, then the events for Stately. */
async function begin() {
  for (const source of [table, relay]) source?.close();
  table = relay = null;
  const answer = await fetch('/v1/info').catch(() => null);
  const needsToken = answer?.status === 401;
  at('#login').hidden = !needsToken;
  at('main').hidden = needsToken;
  if (needsToken) { showState('locked'); return at('#token').focus(); }
  if (!answer?.ok) return later();
  if (!frame.src) {
    frame.src = STATELY + '/inspect';
    setTimeout(() => { if (!stately) at('#note').textContent = UNREACHABLE; }, STATELY_MS);
  }
  table = follow('/v1/machines/stream', { open: clear, lagged: clear, machine: (event) => receive(JSON.parse(event.data)) });
  if (stately) sendToStately();
}
function later() {
  showState('reconnecting');
  clearTimeout(retry);
  retry = setTimeout(begin, RETRY_MS);
}

/** EventSource reconnects by itself, but gives up at an answer that is no stream, such as 401. */
function follow(path, listeners) {
  const source = new EventSource(path);
  source.addEventListener('open', () => showState('live'));
  source.addEventListener('error', () => source.readyState === EventSource.CLOSED ? later() : showState('reconnecting'));
  for (const name of Object.keys(listeners)) source.addEventListener(name, listeners[name]);
  return source;
}

/** Whenever the frame has connected, the stream is opened again: it begins with all live machines. */
function sendToStately() {
  relay?.close();
  relay = follow('/v1/inspect/stream', {
    inspect: (event) => {
      frame.contentWindow.postMessage(JSON.parse(event.data), STATELY);
      relayed += 1;
      drawSoon();
    },
  });
}
addEventListener('message', (event) => {
  if (event.origin !== STATELY || event.source !== frame.contentWindow) return;
  if (event.data?.type !== '@statelyai.connected') return;
  stately = true;
  at('section').className = 'connected';
  at('#note').textContent = 'Stately Inspector is a page of stately.ai. It gets the events of these machines.';
  if (table) sendToStately();
});

function clear() {
  machines.clear();
  body.replaceChildren();
  drawSoon();
}
function receive(event) {
  const known = machines.get(event.id);
  if (event.type === 'stopped') {
    known?.row?.remove();
    known?.detail.remove();
    machines.delete(event.id);
    open.delete(event.id);
  } else if (event.type === 'machine') {
    machines.set(event.id, { ...known, ...event });
  } else if (event.type === 'transition' && known) {
    transitions += 1;
    const { state, context, transition } = event;
    Object.assign(known, { state, context, transitions: [...known.transitions, transition].slice(-TRANSITIONS_MAX) });
  }
  dirty.add(event.id);
  drawSoon();
}

/** Once a frame, however many events come; never while the page is hidden. */
function drawSoon() {
  if (!drawing) requestAnimationFrame(draw);
  drawing = true;
}
function draw() {
  drawing = false;
  for (const id of dirty) if (machines.has(id)) drawMachine(machines.get(id));
  dirty.clear();
  if (disordered) {
    const compare = new Intl.Collator('en', { numeric: true }).compare;
    const sorted = [...machines.values()].sort((a, b) => compare(a.id, b.id));
    body.replaceChildren(...sorted.flatMap(({ row, detail }) => [row, detail]));
    disordered = false;
  }
  const counts = [[machines.size, 'machines'], [transitions, 'transitions seen'], [relayed, 'events sent to Stately']];
  at('#counts').textContent = counts.map(([n, what]) => n.toLocaleString('en') + ' ' + what).join(' · ');
}
function drawMachine(machine) {
  const isNew = !machine.row;
  if (isNew) addRows(machine);
  const last = machine.transitions.at(-1);
  const state = last?.to ?? machine.state;
  const [, kind, value, since, event, reason] = machine.row.cells;
  kind.textContent = machine.machine;
  // A new element, because an animation starts with its element.
  if (value.textContent !== state) value.replaceChildren(make('span', state, isNew ? 'value' : 'value changed'));
  since.replaceChildren(...(last ? [timeOf(last.at)] : []));
  event.textContent = last?.event ?? '';
  reason.textContent = last?.reason ?? '';
  if (open.has(machine.id)) drawDetail(machine);
}
function addRows(machine) {
  const row = make('tr', undefined, 'machine'), detail = make('tr', undefined, 'detail');
  for (const label of ['', 'machine', 'state', 'since', 'last event', 'reason']) {
    const cell = row.insertCell();
    if (label) cell.dataset.label = label;
  }
  const button = make('button', machine.id);
  button.type = 'button';
  row.cells[0].append(button);
  detail.id = 'detail-' + (serial += 1);
  detail.insertCell().colSpan = row.cells.length;
  button.setAttribute('aria-controls', detail.id);
  const show = (shown) => {
    button.setAttribute('aria-expanded', shown);
    detail.hidden = !shown;
  };
  show(open.has(machine.id));
  row.addEventListener('click', () => {
    if (!getSelection().isCollapsed) return;
    if (!open.delete(machine.id)) open.add(machine.id);
    show(open.has(machine.id));
    if (open.has(machine.id)) drawDetail(machines.get(machine.id));
  });
  Object.assign(machine, { row, detail });
  disordered = true;
}
function drawDetail({ detail, transitions, context }) {
  const list = make('table');
  for (const { at, event, from, to, reason } of [...transitions].reverse()) {
    const row = list.insertRow();
    row.insertCell().append(timeOf(at));
    for (const text of [event, (from ?? '') + ' → ' + to, reason ?? '']) row.insertCell().textContent = text;
  }
  const parts = [list, make('pre', JSON.stringify(context, null, 2))];
  const scrolled = [...detail.cells[0].children].map((part) => part.scrollTop);
  detail.cells[0].replaceChildren(...parts);
  for (const i of scrolled.keys()) parts[i].scrollTop = scrolled[i];
}
function timeOf(at) {
  const date = new Date(at), isToday = date.toDateString() === new Date().toDateString();
  const time = make('time', isToday ? date.toLocaleTimeString('sv') : date.toLocaleString('sv'));
  time.dateTime = time.title = at;
  return time;
}

at('#login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ token: at('#token').value });
  const answer = await fetch('/v1/session', { method: 'POST', headers, body }).catch(() => null);
  const problem = answer?.status === 204 ? '' : answer?.status === 401 ? 'Wrong token.' : 'No answer; try again.';
  at('#refused').textContent = problem;
  if (problem === '') { at('#token').value = ''; begin(); }
});
begin();
`;
