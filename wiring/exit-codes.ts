/** Exit codes of every process and command (docs/protocol.md, section 1.3). */
export const EXIT = { ok: 0, failed: 1, usage: 2, taken: 3 } as const;
