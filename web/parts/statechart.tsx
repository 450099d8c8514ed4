/** A machine as it is now: the state that it is in is lit, and the way that it came. */
import { useMemo } from 'preact/hooks';
import type { MachineEntry } from '../../wire/machines.js';
import { type Box, type Definition, type Edge, layOut } from '../data/statechart.js';
import { Scroll } from './scroll.js';

export function Statechart({ machine }: { machine: MachineEntry }) {
  // Its definition never changes while it lives.
  const chart = useMemo(() => layOut(machine.definition as Definition), [machine.id]);
  const active = activePaths(machine.value);
  const last = machine.transitions.at(-1);
  const now = [...active].sort((a, b) => b.length - a.length)[0] ?? machine.state;
  return (
    <figure class="statechart">
      <Scroll label={`Statechart of ${machine.machine}`}>
        <svg
          viewBox={`0 0 ${chart.width} ${chart.height}`}
          width={chart.width}
          height={chart.height}
          role="img"
          aria-label={`${machine.machine} is in ${now}`}
        >
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0.500L8 4L0 7.500z" />
            </marker>
            <marker id="arrow-lit" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0.500L8 4L0 7.500z" />
            </marker>
          </defs>
          {chart.boxes.map((box) => box.compound && <State key={box.path} box={box} active={active.has(box.path)} />)}
          {chart.edges.map((edge) => (
            <Line key={`${edge.from} ${edge.to}`} edge={edge} lit={isLast(edge, last?.from, last?.to)} />
          ))}
          {chart.edges.map((edge) => (
            <Label key={`${edge.from} ${edge.to}`} edge={edge} lit={isLast(edge, last?.from, last?.to)} />
          ))}
          {chart.boxes.map((box) => !box.compound && <State key={box.path} box={box} active={active.has(box.path)} />)}
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

function State({ box, active }: { box: Box; active: boolean }) {
  const { x, y, width, height, label, compound, final } = box;
  return (
    <g class={`node${active ? ' active' : ''}${compound ? ' compound' : ''}`} data-state={box.path}>
      <rect x={x} y={y} width={width} height={height} rx={6} />
      {final && <rect x={x + 3} y={y + 3} width={width - 6} height={height - 6} rx={4} />}
      <text
        x={compound ? x + 10 : x + width / 2}
        y={compound ? y + 16 : y + height / 2 + 4}
        data-at={compound ? '' : 'middle'}
      >
        {label}
      </text>
    </g>
  );
}

function Line({ edge, lit }: { edge: Edge; lit: boolean }) {
  const d = edge.points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x} ${y}`).join('');
  return (
    <g class={`edge${lit ? ' lit' : ''}`}>
      <path d={d} marker-end={lit ? 'url(#arrow-lit)' : 'url(#arrow)'} />
    </g>
  );
}

/** Above all lines, which it interrupts. */
function Label({ edge: { label, labelAt, anchor }, lit }: { edge: Edge; lit: boolean }) {
  return (
    <g class={`edge${lit ? ' lit' : ''}`}>
      <text x={labelAt[0]} y={labelAt[1]} data-at={anchor}>
        {label}
      </text>
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

/** A transition is told by leaves, and may be a compound's. */
const isLast = ({ from, to }: Edge, lastFrom: string | null | undefined, lastTo: string | undefined): boolean =>
  lastFrom != null &&
  lastTo !== undefined &&
  (lastFrom === from || lastFrom.startsWith(`${from}.`)) &&
  (lastTo === to || lastTo.startsWith(`${to}.`));
