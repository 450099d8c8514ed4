/** The swarm as a reader of the queen's stream sees it. */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createParser } from 'eventsource-parser';

/** Follows the queen's stream, also across its restarts. */
export class Follower {
  readonly states = new Map<string, { state: string; stale: boolean; url: string }>();
  readonly heartbeats = new Map<string, number>();
  /** Changes to any state but fresh streaming, since the list was last cleared. */
  changes: string[] = [];
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

  /** The age of the last event of a hive: all processes have one clock. */
  ageMs(name: string): number {
    return Date.now() - Date.parse(this.last.get(name)?.timestamp ?? '1970-01-01T00:00:00.000Z');
  }

  stop(): void {
    this.stopped = true;
    this.request?.destroy();
  }

  private isUnknown(id: string): boolean {
    return !this.hives.some(({ name }) => name === id);
  }

  private async follow(): Promise<void> {
    while (!this.stopped) {
      await new Promise<void>((resolve) => {
        const agent = new http.Agent({ keepAlive: false });
        this.request = http.get(`${this.urlOf()}/v1/heartbeats/stream`, { agent }, (response) => {
          const seenHere = new Set<string>();
          const parser = createParser({ onEvent: ({ event, data }) => this.receive(event, data, seenHere) });
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

  private receive(event: string | undefined, text: string, seenHere: Set<string>): void {
    if (event === 'lagged') this.violate(`the queen's stream has an event lagged: ${text}`);
    if (event !== 'heartbeat') return;
    const data = JSON.parse(text);
    const id: string = data.hive_id;
    if (data.type === 'queen') {
      for (const one of data.hive_ids) if (this.isUnknown(one)) this.violate(`the queen lists an unknown hive: ${one}`);
      return;
    }
    if (this.isUnknown(id)) this.violate(`the queen's stream has an unknown hive: ${text.slice(0, 300)}`);
    if (data.type === 'hive_state') {
      this.states.set(id, { state: data.state, stale: data.stale, url: data.hive_url });
      if (data.state !== 'streaming' || data.stale) this.changes.push(text);
      return;
    }
    const state = this.states.get(id);
    if (state?.state !== 'streaming') {
      this.violate(`telemetry of ${id} while its state is ${state?.state ?? 'unknown'}: ${text.slice(0, 200)}`);
    }
    const url = state?.url ?? '';
    const before = this.last.get(id);
    // The first event of a connection may repeat the last one of the connection before.
    const repeated = !seenHere.has(id) && before?.timestamp === data.timestamp;
    if (before?.url === url && data.timestamp <= before.timestamp && !repeated) {
      const what = data.timestamp === before.timestamp ? 'twice' : `after ${before.timestamp}`;
      this.violate(`telemetry of ${id} of ${data.timestamp} came ${what}, received at ${data.received_at}`);
    }
    this.last.set(id, { url, timestamp: data.timestamp });
    seenHere.add(id);
    this.total++;
    this.heartbeats.set(id, (this.heartbeats.get(id) ?? 0) + 1);
  }
}
