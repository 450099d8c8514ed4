import t from 'tap';
import { count, known, pageUnits, rate, share, terminalUnits } from '../../wire/units.js';

const { celsius, duration, mib, mibOf, percent, since, until } = terminalUnits;

t.test('an amount of memory takes the unit that fits', (t) => {
  t.same([0, 512, 1024, 12_345, 2 * 1024 * 1024].map(mib), ['0 MiB', '512 MiB', '1.0 GiB', '12.1 GiB', '2.0 TiB']);
  t.equal(mibOf(512, 24_564), '0.5/24.0 GiB', 'used takes the unit of the total');
  t.end();
});

t.test('what was not measured is a dash, never a zero', (t) => {
  t.same([mib(null), percent(undefined), celsius(null), duration(Number.NaN)], ['–', '–', '–', '–']);
  t.same([mibOf(null, 1024), mibOf(1024, null), mibOf(null, null)], ['–/1.0 GiB', '1.0/– GiB', '–']);
  t.same([since(null, 0), since('2026-01-01T00:00:00.000Z', null), since('soon', 0)], ['–', '–', '–']);
  t.end();
});

t.test('a duration shows its two largest units', (t) => {
  const s = 1000;
  const cases = [999, 45 * s, 192 * s, 7500 * s, 356_400 * s, -5 * s];
  t.same(cases.map(duration), ['0s', '45s', '3m 12s', '2h 5m', '4d 3h', '0s']);
  t.end();
});

t.test('an age counts from a timestamp, a wait towards it', (t) => {
  const at = '2026-01-01T00:00:10.000Z';
  t.equal(since(at, Date.parse('2026-01-01T00:01:10.000Z')), '1m 0s');
  t.equal(until(at, Date.parse('2026-01-01T00:00:06.000Z')), '4s');
  t.end();
});

t.test('counts take their plural', (t) => {
  t.same(
    [0, 1, 2].map((n) => count(n, 'hive')),
    ['0 hives', '1 hive', '2 hives'],
  );
  t.end();
});

t.test('the page puts a narrow space before every unit, and none of them breaks', (t) => {
  const page = [pageUnits.mib(12_345), pageUnits.mibOf(512, 24_564), pageUnits.percent(63.6), pageUnits.celsius(66)];
  t.same(page, ['12.1\u202fGiB', '0.5\u202f/\u202f24.0\u202fGiB', '64\u202f%', '66\u202f°C']);
  t.equal(pageUnits.duration(192_000), '3\u202fm 12\u202fs');
  t.end();
});

t.test('a rate has a decimal place where it is slow', (t) => {
  t.same([0, 0.42, 9.96, 10, 123.4, null].map(rate), ['0', '0.4', '10.0', '10', '123', '–']);
  t.end();
});

t.test('a share lies between 0 and 1, and needs both of its numbers', (t) => {
  t.same([share(1, 4), share(5, 4), share(null, 4), share(1, 0)], [0.25, 1, null, null]);
  t.same([known(0), known(Number.NaN), known(null)], [true, false, false]);
  t.end();
});
