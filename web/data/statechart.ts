/**
 * Where the parts of a statechart lie. Top-level states stand in rows under each other, the states within one beside
 * each other; each transition between rows has a track of its own in the gap that it leaves through, with its label on
 * it. Made for machines of a dozen states, drawn from what XState serialises.
 */

interface Target {
  target?: string[];
}
export interface Definition {
  id: string;
  key: string;
  type: string;
  states?: Record<string, Definition>;
  on?: Record<string, Target[]>;
  initial?: { target?: string[] };
}

export interface Box {
  /** As in a state's path: `streaming.fresh`. */
  path: string;
  label: string;
  x: number;
  y: number;
  width: number;
  height: number;
  compound: boolean;
  final: boolean;
}
export interface Edge {
  from: string;
  to: string;
  label: string;
  points: [x: number, y: number][];
  labelAt: [x: number, y: number];
  anchor: 'start' | 'middle';
}
export interface Chart {
  width: number;
  height: number;
  boxes: Box[];
  edges: Edge[];
  /** What every state answers alike: `hive.ready → connecting.opening`. */
  anywhere: string[];
}

const CHAR = 6.7;
const BOX = { widthMin: 76, height: 28, padX: 14, titleY: 24, padY: 14 } as const;
const GAP = { x: 26, y: 16, track: 17, lane: 12 } as const;
const LABELS_MAX = 3;

const textWidth = (text: string) => Math.ceil(text.length * CHAR);
const boxWidth = (text: string) => Math.max(BOX.widthMin, textWidth(text) + 2 * BOX.padX);
const row = (path: string) => path.split('.')[0] as string;

interface Link {
  from: string;
  to: string;
  label: string;
}

export function layOut(definition: Definition): Chart {
  const paths = pathsOf(definition);
  const links = linksOf(definition, paths);
  const anywhere = links.filter(({ from }) => from === '').map(({ label, to }) => `${label} → ${to}`);
  const between = links.filter(({ from, to }) => from !== '' && from !== to && !isWithin(from, to));
  const rows = Object.values(definition.states ?? {});
  const rowOf = new Map(rows.map(({ key }, i) => [key, i]));
  const at = (path: string) => rowOf.get(row(path)) ?? 0;

  const inner = between.filter(({ from, to }) => row(from) === row(to));
  const outer = between.filter(({ from, to }) => row(from) !== row(to));
  const boxes = new Map<string, Box>();
  const edges: Edge[] = [];
  const beside = new Set<Link>();

  // Rows, with room for the labels between neighbours.
  const widths = rows.map((state) => layRow(state, inner, boxes, beside));
  const width = Math.max(...widths);
  const tracks = rows.map(() => ({ above: 0, below: 0 }));
  const routed = [...outer, ...inner.filter((link) => !beside.has(link))].map((link) => {
    const up = at(link.to) < at(link.from);
    const gap = up ? at(link.from) - 1 : at(link.from);
    const track = up ? (tracks[gap] as { above: number }).above++ : (tracks[gap] as { below: number }).below++;
    return { ...link, up, gap, track };
  });
  // A link that passes rows by ends in the gap beside its target, without a label there.
  const lanes = routed.filter(({ from, to }) => Math.abs(at(from) - at(to)) > 1);
  let y = 4;
  const gapY: number[] = [];
  for (const [i, state] of rows.entries()) {
    moveDown(boxes, state.key, y);
    y += (boxes.get(state.key) as Box).height + GAP.y;
    gapY.push(y);
    const { above, below } = tracks[i] as { above: number; below: number };
    y += (above + below) * GAP.track;
  }
  const height = y + 4;

  for (const link of inner) if (beside.has(link)) edges.push(straight(link, boxes, inner));
  const ports = portsOf(routed, boxes);
  for (const [i, link] of routed.entries()) {
    const source = boxes.get(link.from) as Box;
    const target = boxes.get(link.to) as Box;
    const [sx, port] = ports[i] as [number, number];
    // A line that is nearly straight is straight.
    const tx = Math.abs(sx - port) < 20 && sx > target.x && sx < target.x + target.width ? sx : port;
    const below = (tracks[link.gap] as { below: number }).below;
    const trackY = (gapY[link.gap] as number) + (link.up ? below + link.track : link.track) * GAP.track;
    const leave: [number, number] = [sx, link.up ? source.y : source.y + source.height];
    const sameRow = row(link.from) === row(link.to);
    const enterY = sameRow || link.up ? target.y + target.height : target.y;
    const points: [number, number][] = [leave, [sx, trackY]];
    const lane = lanes.indexOf(link);
    if (lane >= 0) {
      const laneX = width + GAP.lane * (lane + 1);
      const nearY = link.up ? enterY + 8 : enterY - 8;
      points.push([laneX, trackY], [laneX, nearY], [tx, nearY]);
    } else points.push([tx, trackY]);
    points.push([tx, enterY]);
    const labelX = lane >= 0 ? sx + 6 : Math.min(sx, tx) + 6;
    edges.push({ ...link, points, labelAt: [labelX, trackY - 4], anchor: 'start' });
  }
  const right = Math.max(
    ...edges.map(({ labelAt, label, anchor }) => (anchor === 'start' ? labelAt[0] + textWidth(label) : 0)),
    0,
  );
  return {
    width: Math.max(width + GAP.lane * (lanes.length + 1), right + 4),
    height,
    boxes: [...boxes.values()],
    edges,
    anywhere,
  };
}

/** Paths by what transitions call their targets: `#hive-subscription.connecting`, or `#lost` where it has an id. */
function pathsOf(root: Definition): Map<string, string> {
  const paths = new Map<string, string>([[`#${root.id}`, '']]);
  const visit = (state: Definition, path: string) => {
    paths.set(`#${state.id}`, path);
    for (const child of Object.values(state.states ?? {})) visit(child, `${path}.${child.key}`);
  };
  for (const state of Object.values(root.states ?? {})) visit(state, state.key);
  return paths;
}

/** Transitions that lead somewhere, those of one pair of states as one. */
function linksOf(root: Definition, paths: Map<string, string>): Link[] {
  const found = new Map<string, { from: string; to: string; events: Set<string> }>();
  const visit = (state: Definition, from: string) => {
    for (const [event, transitions] of Object.entries(state.on ?? {})) {
      for (const { target = [] } of transitions) {
        const to = paths.get(target[0] ?? '');
        if (to === undefined || to === '') continue;
        const link = found.get(`${from} ${to}`) ?? { from, to, events: new Set() };
        link.events.add(eventName(event));
        found.set(`${from} ${to}`, link);
      }
    }
    for (const child of Object.values(state.states ?? {}))
      visit(child, from === '' ? child.key : `${from}.${child.key}`);
  };
  visit(root, '');
  return [...found.values()].map(({ from, to, events }) => {
    const names = [...events];
    const more = names.length > LABELS_MAX ? ` +${names.length - LABELS_MAX}` : '';
    return { from, to, label: names.slice(0, LABELS_MAX).join(', ') + more };
  });
}

/** `xstate.after.openTimeout.machine.state` as `after openTimeout`. */
export function eventName(event: string): string {
  const [xstate, kind, name] = event.split('.');
  if (xstate !== 'xstate') return event;
  if (kind === 'after') return `after ${name}`;
  if (kind === 'init') return 'start';
  return kind === 'done' || kind === 'error' ? kind : event;
}

const isWithin = (path: string, other: string) => path.startsWith(`${other}.`) || other.startsWith(`${path}.`);

/** One top-level state and what is in it, at y 0. Answers its width. */
function layRow(state: Definition, inner: Link[], boxes: Map<string, Box>, beside: Set<Link>): number {
  const children = Object.values(state.states ?? {});
  const own = { path: state.key, label: state.key, x: 4, y: 0, final: state.type === 'final' };
  const least = boxWidth(state.key);
  if (children.length === 0) {
    boxes.set(state.key, { ...own, width: least, height: BOX.height, compound: false });
    return least;
  }
  let x = own.x + BOX.padX;
  for (const [i, child] of children.entries()) {
    const path = `${state.key}.${child.key}`;
    const width = boxWidth(child.key);
    const final = child.type === 'final';
    boxes.set(path, { path, label: child.key, x, y: BOX.titleY, width, height: BOX.height, compound: false, final });
    const next = children[i + 1];
    const pair = next ? inner.filter((link) => isPair(link, path, `${state.key}.${next.key}`)) : [];
    for (const link of pair) beside.add(link);
    x += width + (next ? Math.max(GAP.x, ...pair.map(({ label }) => textWidth(label) + 26)) : 0);
  }
  const width = Math.max(least, x + BOX.padX - own.x);
  boxes.set(state.key, { ...own, width, height: BOX.titleY + BOX.height + BOX.padY, compound: true });
  return width;
}

const isPair = ({ from, to }: Link, a: string, b: string) => (from === a && to === b) || (from === b && to === a);

function moveDown(boxes: Map<string, Box>, key: string, by: number): void {
  for (const box of boxes.values()) if (row(box.path) === key) box.y += by;
}

/** From neighbour to neighbour; one that has an answer goes above it, the answer below. */
function straight(link: Link, boxes: Map<string, Box>, all: Link[]): Edge {
  const source = boxes.get(link.from) as Box;
  const target = boxes.get(link.to) as Box;
  const forth = source.x < target.x;
  const answered = all.some(({ from, to }) => from === link.to && to === link.from);
  const y = source.y + source.height / 2 + (answered ? (forth ? -6 : 6) : 0);
  const from = forth ? source.x + source.width : source.x;
  const to = forth ? target.x : target.x + target.width;
  const labelY = answered && !forth ? y + 13 : y - 4;
  return {
    ...link,
    points: [
      [from, y],
      [to, y],
    ],
    labelAt: [(from + to) / 2, labelY],
    anchor: 'middle',
  };
}

/** Lines that meet at one side of a box are spread over it. */
function portsOf(links: { from: string; to: string; up: boolean }[], boxes: Map<string, Box>): [number, number][] {
  const count = new Map<string, number>();
  const side = (path: string, top: boolean) => `${path} ${top}`;
  const sides = links.map(({ from, to, up }) => {
    const sameRow = row(from) === row(to);
    return [side(from, up), side(to, !up && !sameRow)] as const;
  });
  for (const key of sides.flat()) count.set(key, (count.get(key) ?? 0) + 1);
  const taken = new Map<string, number>();
  const port = (path: string, key: string) => {
    const box = boxes.get(path) as Box;
    const n = (taken.get(key) ?? 0) + 1;
    taken.set(key, n);
    // A wide box is left near its beginning: its labels begin there.
    const usable = Math.min(box.width, 40 * ((count.get(key) ?? 1) + 1));
    return box.x + (usable * n) / ((count.get(key) ?? 1) + 1);
  };
  return links.map(({ from, to }, i) => {
    const [leaves, enters] = sides[i] as readonly [string, string];
    return [port(from, leaves), port(to, enters)];
  });
}
