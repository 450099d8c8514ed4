/** The last ten minutes of a hive as charts. */
import { useComputed, useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { known } from '../../wire/units.js';
import type { Hive } from '../data/hive.js';
import { Track } from '../data/track.js';
import { Chart } from './chart.js';

export function HiveCharts({ hive }: { hive: Hive }) {
  const version = useSignal(0);
  const onChange = () => {
    version.value += 1;
  };
  const track = useMemo(() => new Track(hive, onChange), [hive]);
  useEffect(() => track.follow(), [track]);
  // Which charts there are changes rarely; their numbers change with `version`.
  const shape = useComputed(() =>
    JSON.stringify({
      ids: (hive.node.value?.gpus ?? []).map(({ id }) => id),
      ram: hive.node.value?.ram_total_mb ?? null,
      vram: (hive.node.value?.gpus ?? []).map(({ vram_total_mb }) => vram_total_mb),
    }),
  );
  const { ids, ram, vram } = JSON.parse(shape.value) as { ids: string[]; ram: number | null; vram: (number | null)[] };
  const of = (what: string) => ids.map((id) => ({ name: `${what} ${id}`, label: id }));
  const totals = vram.filter(known);
  const data = (names: readonly string[]) => track.columns(names);
  const common = { data, version: version.value };
  return (
    <section class="charts" aria-label="The last ten minutes">
      <Chart title="CPU" unit="%" max={100} series={[{ name: 'cpu', label: 'CPU' }]} {...common} />
      <Chart
        title="RAM"
        unit="GiB"
        max={ram === null ? null : ram / 1024}
        series={[{ name: 'ram', label: 'RAM' }]}
        {...common}
      />
      {ids.length > 0 && (
        <>
          <Chart title="GPU use" unit="%" max={100} series={of('util')} {...common} />
          <Chart
            title="VRAM"
            unit="GiB"
            max={totals.length > 0 ? Math.max(...totals) / 1024 : null}
            series={of('vram')}
            {...common}
          />
          <Chart title="GPU temperature" unit="°C" max={100} series={of('temp')} {...common} />
        </>
      )}
    </section>
  );
}
