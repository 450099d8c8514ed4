/** The state machines of a hive's connection: a statechart each, and their last transitions. */
import type { MachineEntry } from '../../wire/machines.js';
import { machines } from '../data/machines.js';
import { eventName } from '../data/statechart-graph.js';
import { clockTime } from '../format.js';
import { Scroll } from './scroll.js';
import { Statechart } from './statechart.js';

export function HiveMachines() {
  const [subscription, ...others] = machines.value;
  if (!subscription) return null;
  return (
    <section class="panel machines">
      <h2>Connection</h2>
      <div class="machine">
        <Statechart key={subscription.id} machine={subscription} />
        <Transitions machine={subscription} />
      </div>
      {others.map((machine) => (
        <div class="machine" key={machine.id}>
          <Statechart machine={machine} />
          <Transitions machine={machine} />
        </div>
      ))}
    </section>
  );
}

/** A machine keeps its last reason in later states, too: it belongs to these states only. */
const ENDED = /^(lost|backoff|waiting|gone|crashed|failed)/;

function Transitions({ machine }: { machine: MachineEntry }) {
  return (
    <div class="transitions">
      <h3>{machine.machine}: last transitions</h3>
      <Scroll label={`Last transitions of ${machine.machine}`}>
        <ol>
          {[...machine.transitions].reverse().map(({ at, event, to, reason }, i) => (
            <li key={`${at} ${machine.transitions.length - i}`}>
              <time dateTime={at} title={at}>
                {clockTime(at)}
              </time>
              <span>
                <span class="event">{eventName(event)}</span> → <b>{to}</b>
                {reason && ENDED.test(to) && <span class="reason"> {reason}</span>}
              </span>
            </li>
          ))}
        </ol>
      </Scroll>
    </div>
  );
}
