/** Imports modules one after another and prints how long each took, as JSON. */
export interface Imported {
  name: string;
  ms: number;
}

const seen: Imported[] = [];
for (const name of process.argv.slice(2)) {
  const startedAt = performance.now();
  await import(name);
  seen.push({ name, ms: performance.now() - startedAt });
}
process.stdout.write(JSON.stringify(seen), () => process.exit());
