/** What changed on a hive since this page was opened. */
import type { Hive } from '../data/hive.js';
import { clockTime } from '../format.js';

export function HiveLog({ hive }: { hive: Hive }) {
  const lines = hive.log.value;
  return (
    <section class="panel">
      <h2>Changes since this page was opened</h2>
      <ol class="log">
        {lines.map(({ at, tone, text }, i) => (
          <li key={`${at} ${lines.length - i}`} class={tone}>
            <time dateTime={at} title={at}>
              {clockTime(at)}
            </time>
            <span>{text}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
