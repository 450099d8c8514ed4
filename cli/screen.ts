/** What the screens of the command line are drawn for. */
export interface Screen {
  /** The queen's own clock, in ms since 1970. */
  queenNowMs: number;
  color: boolean;
  /** Columns of the terminal; without it nothing is cut. */
  width?: number | undefined;
}
