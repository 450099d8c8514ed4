/** How much of the past is shown. */
export const HISTORY_MS = 600_000;
