/**
 * Imports modules one after another and prints how long each took, as JSON. With `--only-what <module>`: which packages
 * that module loads at all.
 */
import { register } from 'node:module';
import { MessageChannel } from 'node:worker_threads';

export interface Imported {
  name: string;
  ms: number;
}

const [first, ...others] = process.argv.slice(2);
const seen: Imported[] = [];

if (first === '--only-what') {
  const { port1, port2 } = new MessageChannel();
  const names = new Set<string>();
  port1.on('message', (name: string) => names.add(name));
  const hook = `let port; export const initialize = (data) => { port = data.port; };
    export const resolve = (specifier, context, next) => {
      const bare = /^((?:@[^/]+[/])?[^./@][^/]*)/.exec(specifier);
      if (bare && !specifier.includes(':')) port.postMessage(bare[1]);
      return next(specifier, context);
    };`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`, { data: { port: port2 }, transferList: [port2] });
  await import(others[0] as string);
  await new Promise((resolve) => setTimeout(resolve, 100));
  seen.push(...[...names].map((name) => ({ name, ms: 0 })));
} else {
  for (const name of [first as string, ...others]) {
    const startedAt = performance.now();
    await import(name);
    seen.push({ name, ms: performance.now() - startedAt });
  }
}
process.stdout.write(JSON.stringify(seen), () => process.exit());
