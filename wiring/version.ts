import { readFileSync } from 'node:fs';

/** The version in package.json and, if it is known, the commit that was built: `0.1.0+ea7c133`. */
export const version = withCommit((readJsonFile('../../package.json') as { version: string }).version);

function withCommit(released: string): string {
  const commit = readJsonFile('../commit.json');
  return typeof commit === 'string' && /^[0-9a-f]{7,40}$/.test(commit) ? `${released}+${commit}` : released;
}

/** Null when there is none. */
function readJsonFile(name: string): unknown {
  try {
    return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
  } catch {
    return null;
  }
}
