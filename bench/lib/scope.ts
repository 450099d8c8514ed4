/** What was started ends, in the opposite order, whatever happens in between. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

type Ending = () => void | Promise<void>;

export class Scope {
  private endings: Ending[] = [];

  onEnd(ending: Ending): void {
    this.endings.push(ending);
  }

  /** A directory that goes when the scope does. */
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
        process.stderr.write(`something did not end in order: ${(error as Error).message}\n`);
      }
    }
  }

  /** A scope within this one, for what must end before this one does. */
  inner(): Scope {
    const inner = new Scope();
    this.onEnd(() => inner.end());
    return inner;
  }
}
