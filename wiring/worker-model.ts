/** The model of a worker: its state machine, connected to the engine and to the log. */
import { createActor, fromPromise } from 'xstate';
import type { Engine } from '../actors/worker/engines/engine.js';
import { engineWatchMachine } from '../machines/engine-watch.js';
import { modelMachine } from '../machines/model.js';
import type { EngineFacts } from '../wire/infer.js';
import { OncePerReason } from './once-per-reason.js';
import { UsageError } from './options.js';
import type { ProcessContext } from './process.js';

/** After the model could answer for the first time: `ready` once, then `changed` for every further change. */
export type ModelNews = 'ready' | 'changed';

type ModelActor = ReturnType<typeof createActor<typeof modelMachine>>;
type ModelSnapshot = ReturnType<ModelActor['getSnapshot']>;
type ModelState = 'starting' | 'ready' | 'unavailable' | 'failed';

export class WorkerModel {
  private readonly actor: ModelActor;
  private state: ModelState | null = null;
  private readonly reasons = new OncePerReason();
  private wasReady = false;

  constructor(
    private readonly processContext: ProcessContext,
    private readonly engine: Engine,
    private readonly onNews: (news: ModelNews) => void,
  ) {
    const { inspect, fail } = processContext;
    const probe = fromPromise<void>(async ({ signal }) => engine.probe?.(signal));
    this.actor = createActor(
      modelMachine.provide({
        actors: {
          openEngine: fromPromise(({ signal }) => engine.open(signal)),
          watch: engineWatchMachine.provide({ actors: { probe } }),
        },
      }),
      { id: 'model', input: { watched: engine.probe !== null }, inspect },
    );
    this.actor.subscribe({ next: (snapshot) => this.onChange(snapshot), error: fail });
  }

  start(): void {
    this.actor.start();
  }

  stop(): void {
    this.actor.stop();
  }

  get ready(): boolean {
    return stateOf(this.actor.getSnapshot()) === 'ready';
  }

  /** What the engine can do, once it is open. */
  get facts(): EngineFacts | null {
    return this.actor.getSnapshot().context.facts;
  }

  engineUnreachable(reason: string): void {
    this.actor.send({ type: 'engine.unreachable', reason });
  }

  /** @param detailed with the reason, which may name addresses: for callers that have shown the token */
  whyNotReady(detailed = true): string | null {
    const snapshot = this.actor.getSnapshot();
    const state = stateOf(snapshot);
    if (state === 'ready') return null;
    const { doing, pct } = this.engine.progress();
    const what = state === 'unavailable' ? 'the engine is unavailable' : `the model cannot answer yet: ${doing}`;
    const { reason } = snapshot.context;
    return `${what}${pct === null ? '' : `, ${pct} %`}${detailed && reason !== null ? ` (${reason})` : ''}`;
  }

  private onChange(snapshot: ModelSnapshot): void {
    const { id, log, fail } = this.processContext;
    const state = stateOf(snapshot);
    const { reason, facts } = snapshot.context;
    // The options of the user cannot be satisfied: a restart would fail in the same way.
    if (state === 'failed') {
      fail(new UsageError(reason ?? 'the model cannot be loaded'));
      return;
    }
    if (reason === null) this.reasons.clear('model');
    else if (state !== 'ready' && this.reasons.isNew('model', reason)) log.warn(`${reason}; retrying`);
    if (state === this.state) return;
    this.state = state;
    if (state === 'ready') log.info(`${id} serves ${facts?.models.map((model) => model.id).join(', ')}`);
    const first = state === 'ready' && !this.wasReady;
    this.wasReady ||= first;
    if (this.wasReady) this.onNews(first ? 'ready' : 'changed');
  }
}

const stateOf = ({ value }: ModelSnapshot): ModelState => (typeof value === 'string' ? value : 'starting');
