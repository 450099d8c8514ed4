/** The error that a worker printed before it ended: its last fatal line, or what its command line refused; else null. */
export function errorIn(lines: readonly string[]): string | null {
  const found = lines.flatMap((line) => ERROR.exec(line)?.[1] ?? []);
  return found.at(-1) ?? null;
}

const ERROR =
  /^(?:\[[\d:.]+\] FATAL: (?!.* cannot go on$)(?:worker \S+ cannot go on: )?|error: |rbee(?: worker)?: )(.+)$/;
