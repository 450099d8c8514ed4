/**
 * Runs a machine as an actor system of its own, inside a child that passes events on. XState keeps all timers of a
 * system in one place and looks through all of them whenever an actor stops: with ten thousand hives in one system, one
 * hive's end would cost as much as ten thousand.
 */
import {
  type AnyStateMachine,
  createActor,
  type EventFromLogic,
  fromCallback,
  type InputFrom,
  type InspectionEvent,
} from 'xstate';
import type { AwakeClock } from './awake-clock.js';

export interface IsolateDeps<M extends AnyStateMachine> {
  machine: M;
  clock: AwakeClock;
  inspect: (event: InspectionEvent) => void;
  /** The name under which it is inspected. */
  nameOf: (input: InputFrom<M>) => string;
  onError: (error: unknown) => void;
}

/** Sends `isolated.done` to its parent when the machine has come to its end, or failed. */
export function isolate<M extends AnyStateMachine>({ machine, clock, inspect, nameOf, onError }: IsolateDeps<M>) {
  return fromCallback<EventFromLogic<M>, InputFrom<M>>(({ input, receive, sendBack, self }) => {
    const actor = createActor(machine as AnyStateMachine, { input, clock, inspect, id: nameOf(input) });
    const done = () => sendBack({ type: 'isolated.done', id: self.id });
    actor.subscribe({
      complete: done,
      error: (error) => {
        onError(error);
        done();
      },
    });
    receive((event) => actor.send(event));
    actor.start();
    return () => actor.stop();
  });
}
