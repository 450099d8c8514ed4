/** Ends everything that was started in it, in reverse order. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

type Ending = () => void | Promise<void>;

export class Scope {
  private endings: Ending[] = [];

  onEnd(ending: Ending): void {
    this.endings.push(ending);
  }

  /** A directory that is removed when the scope ends. */
  directory(name: string): string {
    const directory = mkdtempSync(path.join(tmpdir(), `rbee-bench-${name}-`));
    this.onEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
    return directory;
  }

  async end(): Promise<void> {
    for (let ending = this.endings.pop(); ending; ending = this.endings.pop()) {
      try {
        await ending();
      } catch (error) {
        process.stderr.write(`clean-up failed: ${(error as Error).message}\n`);
      }
    }
  }

  /** A scope that can end before this one does. */
  inner(): Scope {
    const inner = new Scope();
    this.onEnd(() => inner.end());
    return inner;
  }
}
