/** The swarm in a few numbers. */
import { useComputed } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { count, pageUnits, rate, share } from '../../wire/units.js';
import { totals } from '../data/totals.js';
import { Bar } from './small.js';

const { mibOf, percent } = pageUnits;

export function Totals() {
  const t = totals.value;
  return (
    <dl class="totals" aria-label="The swarm in numbers">
      <Total name="Hives">
        {t.online}
        <small> of {t.hives} online</small>
      </Total>
      <Total name="Workers">
        {t.workersAvailable}
        <small> of {t.workers} available</small>
      </Total>
      {t.tokensPerS !== null && (
        <Total name="Tokens">
          {rate(t.tokensPerS)}
          <small> a second</small>
        </Total>
      )}
      <Total name="CPU" part={() => (totals.value.cpuPct ?? 0) / 100}>
        {percent(t.cpuPct)}
      </Total>
      <Total name="RAM" part={() => share(totals.value.ramUsedMb, totals.value.ramTotalMb)}>
        {mibOf(t.ramUsedMb, t.ramTotalMb)}
      </Total>
      {t.gpus > 0 && (
        <>
          <Total name={count(t.gpus, 'GPU')} part={() => (totals.value.gpuPct ?? 0) / 100}>
            {percent(t.gpuPct)}
          </Total>
          <Total name="VRAM" part={() => share(totals.value.vramUsedMb, totals.value.vramTotalMb)}>
            {mibOf(t.vramUsedMb, t.vramTotalMb)}
          </Total>
        </>
      )}
    </dl>
  );
}

/** @param part how full a bar below the number is, 0 to 1 */
function Total({ name, part, children }: { name: string; part?: () => number | null; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
      {part && (
        <dd>
          <PartBar part={part} />
        </dd>
      )}
    </div>
  );
}

function PartBar({ part }: { part: () => number | null }) {
  return <Bar of={useComputed(part)} />;
}
