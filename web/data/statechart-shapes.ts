/** The shapes of which a statechart consists. */
export type Point = [x: number, y: number];

export interface Box {
  /** Of a state, such as `streaming.fresh`; of the dot before an initial state: the path of its parent, and `.`. */
  path: string;
  kind: 'state' | 'compound' | 'final' | 'initial';
  label: string;
  /** `x` and `y` are those of the upper left corner. */
  x: number;
  y: number;
  width: number;
  height: number;
  labelAt: Point;
}
export interface Edge {
  from: string;
  to: string;
  points: Point[];
  /** The label: one line for each event, centred on `labelAt`. */
  lines: string[];
  labelAt: Point;
}
