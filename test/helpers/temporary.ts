/** A directory that is removed after the test, also where processes write state into it until they end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';

export function temporary(t: Pick<Test, 'teardown'>): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'rbee-'));
  // A killed process may write for a moment longer, so that the directory is not empty at first.
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return dir;
}
