/** The swarm as somebody sees it who reads the queen's stream. */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createParser } from 'eventsource-parser';

/** What the queen's readers see, followed from one of her lives to the next. */
export class Follower {
  readonly states = new Map<string, { state: string; stale: boolean; url: string }>();
  readonly beats = new Map<string, number>();
  /** Changes to anything but fresh streaming, since they were last taken. */
  unrest: string[] = [];
  total = 0;
  private last = new Map<string, { url: string; timestamp: string }>();
  private request: http.ClientRequest | null = null;
  private stopped = false;

  constructor(
    private readonly hives: readonly { name: string }[],
    private readonly urlOf: () => string,
    private readonly violate: (what: string) => void,
  ) {}

  start(): void {
    void this.follow();
  }

  /** Since the last event of a hive was made: all processes have one clock. */
  ageMs(name: string): number {
    return Date.now() - Date.parse(this.last.get(name)?.timestamp ?? '1970-01-01T00:00:00.000Z');
  }

  stop(): void {
    this.stopped = true;
    this.request?.destroy();
  }

  private isGhost(id: string): boolean {
    return !this.hives.some(({ name }) => name === id);
  }

  private async follow(): Promise<void> {
    while (!this.stopped) {
      await new Promise<void>((resolve) => {
        const agent = new http.Agent({ keepAlive: false });
        this.request = http.get(`${this.urlOf()}/v1/heartbeats/stream`, { agent }, (response) => {
          const heardHere = new Set<string>();
          const parser = createParser({ onEvent: ({ event, data }) => this.hear(event, data, heardHere) });
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => parser.feed(chunk));
          response.on('error', () => {});
          response.once('close', resolve);
        });
        this.request.once('error', () => resolve());
      });
      this.states.clear();
      await sleep(50);
    }
  }

  private hear(event: string | undefined, text: string, heardHere: Set<string>): void {
    if (event === 'lagged') this.violate(`the queen's stream says that its reader lagged: ${text}`);
    if (event !== 'heartbeat') return;
    const data = JSON.parse(text);
    const id: string = data.hive_id;
    if (data.type === 'queen') {
      for (const one of data.hive_ids) if (this.isGhost(one)) this.violate(`the queen lists a ghost: ${one}`);
      return;
    }
    if (this.isGhost(id)) this.violate(`the queen's stream tells of a ghost: ${text.slice(0, 300)}`);
    if (data.type === 'hive_state') {
      this.states.set(id, { state: data.state, stale: data.stale, url: data.hive_url });
      if (data.state !== 'streaming' || data.stale) this.unrest.push(text);
      return;
    }
    const state = this.states.get(id);
    if (state?.state !== 'streaming') {
      this.violate(`telemetry of ${id} while its state is ${state?.state ?? 'unknown'}: ${text.slice(0, 200)}`);
    }
    const url = state?.url ?? '';
    const before = this.last.get(id);
    // The first of a connection may be the latest of the one before; another instance has a clock of its own.
    const again = !heardHere.has(id) && before?.timestamp === data.timestamp;
    if (before?.url === url && data.timestamp <= before.timestamp && !again) {
      const what = data.timestamp === before.timestamp ? 'twice' : `after ${before.timestamp}`;
      this.violate(`telemetry of ${id} of ${data.timestamp} came ${what}, received at ${data.received_at}`);
    }
    this.last.set(id, { url, timestamp: data.timestamp });
    heardHere.add(id);
    this.total++;
    this.beats.set(id, (this.beats.get(id) ?? 0) + 1);
  }
}
