/** Imports modules one after another and prints how long each took, as JSON. */
export interface Imported {
  name: string;
  ms: number;
}

const imported: Imported[] = [];
for (const name of process.argv.slice(2)) {
  const startedAt = performance.now();
  await import(name);
  imported.push({ name, ms: performance.now() - startedAt });
}
process.stdout.write(JSON.stringify(imported), () => process.exit());
