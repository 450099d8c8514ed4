/** The patterns of ssh_config(5) and of the paths that it includes: `*` is any run of characters, `?` any one. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

export const hasWildcard = (text: string) => /[*?]/.test(text);

/** Whether all of `text` fits the pattern. No regular expression: `*a*a*a*` takes exponential time in one. */
export function matchesWildcard(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let starText = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      starText = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      // Let the last star swallow one character more, and go on behind it.
      p = star + 1;
      t = ++starText;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/**
 * The files that an absolute path names, its wildcards filled in from the file system, sorted as glob(7) sorts; at
 * most `limit`. What does not exist or cannot be listed gives nothing: a missing Include is no error to ssh either.
 */
export async function expandPath(pattern: string, limit: number): Promise<string[]> {
  const { root } = path.parse(pattern);
  let found = [root];
  for (const segment of pattern.slice(root.length).split(path.sep)) {
    if (segment === '') continue;
    const next: string[] = [];
    for (const folder of found) {
      if (next.length >= limit) break;
      if (hasWildcard(segment)) next.push(...(await matchingEntries(folder, segment)));
      else next.push(path.join(folder, segment));
    }
    found = next.slice(0, limit);
  }
  const exists = await Promise.all(found.map((file) => stat(file).then(Boolean, () => false)));
  return found.filter((_, n) => exists[n]);
}

async function matchingEntries(folder: string, segment: string): Promise<string[]> {
  const entries = await readdir(folder).catch(() => []);
  // As in a shell, * does not stand for the dot of a hidden file.
  const fits = entries.filter((name) => matchesWildcard(segment, name) && (segment[0] === '.' || name[0] !== '.'));
  return fits.sort().map((name) => path.join(folder, name));
}
