/** The statechart of a machine, with its present state and its last transition highlighted. */
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { MachineEntry } from '../../wire/machines.js';
import { layOut } from '../data/statechart.js';
import { type Definition, LINE_HEIGHT } from '../data/statechart-graph.js';
import type { Box, Edge } from '../data/statechart-shapes.js';
import { Scroll } from './scroll.js';

export function Statechart({ machine }: { machine: MachineEntry }) {
  // The definition of a machine never changes.
  const chart = useMemo(() => layOut(machine.definition as Definition), [machine.id]);
  const root = useRef<HTMLElement>(null);
  // On a phone the chart is wider than the screen: the present state is scrolled to the middle.
  useEffect(() => {
    const box = root.current?.querySelector('.scroll');
    const lit = root.current?.querySelector('.node.active:not(.compound)');
    if (!box || !lit || box.scrollWidth <= box.clientWidth) return;
    const { left, width } = lit.getBoundingClientRect();
    box.scrollLeft += left + width / 2 - box.getBoundingClientRect().left - box.clientWidth / 2;
  }, [JSON.stringify(machine.value)]);
  if (!chart) return null;
  const active = activePaths(machine.value);
  const last = machine.transitions.at(-1);
  const now = [...active].sort((a, b) => b.length - a.length)[0] ?? machine.state;
  // The highlighted edge is drawn last, above the others.
  const edges = [...chart.edges].sort((a, b) => Number(isLast(a, last)) - Number(isLast(b, last)));
  return (
    <figure class="statechart" ref={root}>
      <Scroll label={`Statechart of ${machine.machine}`}>
        <svg
          viewBox={`0 0 ${chart.width} ${chart.height}`}
          width={chart.width}
          height={chart.height}
          role="img"
          aria-label={`${machine.machine} is in ${now}`}
        >
          <defs>
            <Arrow id="arrow" />
            <Arrow id="arrow-lit" />
          </defs>
          {chart.boxes.map(
            (box) => box.kind === 'compound' && <Area key={box.path} box={box} active={active.has(box.path)} />,
          )}
          {edges.map((edge) => (
            <Line key={`${edge.from} ${edge.to}`} edge={edge} lit={isLast(edge, last)} />
          ))}
          {edges.map((edge) => (
            <Label key={`${edge.from} ${edge.to}`} edge={edge} lit={isLast(edge, last)} />
          ))}
          {chart.boxes.map(
            (box) => box.kind !== 'compound' && <State key={box.path} box={box} active={active.has(box.path)} />,
          )}
        </svg>
      </Scroll>
      {chart.anywhere.length > 0 && (
        <figcaption>
          In any state:{' '}
          {chart.anywhere.map((text) => (
            <code key={text}>{text}</code>
          ))}
        </figcaption>
      )}
    </figure>
  );
}

const Arrow = ({ id }: { id: string }) => (
  <marker id={id} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
    <path d="M0 0.500L8 4L0 7.500z" />
  </marker>
);

/** A state with states within it. */
function Area({ box: { path, x, y, width, height, label, labelAt }, active }: { box: Box; active: boolean }) {
  return (
    <g class={`node compound${active ? ' active' : ''}`} data-state={path}>
      <rect x={x} y={y} width={width} height={height} rx={6} />
      <text x={labelAt[0]} y={labelAt[1]}>
        {label}
      </text>
    </g>
  );
}

function State({ box, active }: { box: Box; active: boolean }) {
  const { path, kind, x, y, width, height, label, labelAt } = box;
  if (kind === 'initial') return <circle class="initial" cx={x + width / 2} cy={y + height / 2} r={width / 2} />;
  return (
    <g class={`node${active ? ' active' : ''}`} data-state={path}>
      <rect x={x} y={y} width={width} height={height} rx={6} />
      {kind === 'final' && <rect x={x + 3} y={y + 3} width={width - 6} height={height - 6} rx={4} />}
      <text x={labelAt[0]} y={labelAt[1]} data-at="middle">
        {label}
      </text>
    </g>
  );
}

function Line({ edge: { from, to, points }, lit }: { edge: Edge; lit: boolean }) {
  const d = points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x} ${y}`).join('');
  return (
    <g class={`edge${lit ? ' lit' : ''}`} data-edge={`${from} ${to}`}>
      <path d={d} marker-end={lit ? 'url(#arrow-lit)' : 'url(#arrow)'} />
    </g>
  );
}

/** Above all lines, including its own. */
function Label({ edge: { from, to, lines, labelAt }, lit }: { edge: Edge; lit: boolean }) {
  const [x, y] = labelAt;
  const top = y - (lines.length * LINE_HEIGHT) / 2;
  return (
    <g class={`edge${lit ? ' lit' : ''}`} data-label={`${from} ${to}`}>
      {lines.map((line, i) => (
        <text key={line} x={x} y={top + LINE_HEIGHT * (i + 1) - 4} data-at="middle">
          {line}
        </text>
      ))}
    </g>
  );
}

/** `{streaming: 'fresh'}` as streaming and streaming.fresh. */
function activePaths(value: unknown, under = ''): Set<string> {
  if (typeof value === 'string') return new Set([under + value]);
  const paths = new Set<string>();
  for (const [key, inner] of Object.entries((value ?? {}) as object)) {
    paths.add(under + key);
    for (const path of activePaths(inner, `${under}${key}.`)) paths.add(path);
  }
  return paths;
}

/** Transitions are listed by leaf states, but an edge may belong to a compound state. */
function isLast({ from, to }: Edge, last: MachineEntry['transitions'][number] | undefined): boolean {
  const isIn = (leaf: string, path: string) => leaf === path || leaf.startsWith(`${path}.`);
  return last?.from != null && isIn(last.from, from) && isIn(last.to, to);
}
