import t from 'tap';
import { Gateway } from '../../stores/gateway.js';
import { ModelIndex } from '../../stores/model-index.js';
import type { WorkerOffer } from '../../stores/worker-availability.js';

const NONE: ReadonlySet<string> = new Set();

/** Workers by id, with their models; `lookups` counts how often one is looked up. */
function create(models: Record<string, string[]>) {
  const offers = new Map<string, Partial<WorkerOffer>>(Object.keys(models).map((id) => [id, {}]));
  const counts = { lookups: 0 };
  let now = 0;
  const index = new ModelIndex((id) => models[id] ?? []);
  for (const id of Object.keys(models)) index.changed(id);
  const gateway = new Gateway({
    workers: {
      withModel: (model) => index.find(model),
      modelNames: () => index.names(),
      isKnown: (id) => id in models,
      offerOf: (id) => {
        counts.lookups += 1;
        const offer = offers.get(id);
        if (!offer) return null;
        const plain = { id, hiveId: null, url: `http://${id}`, worker: null, status: 'ready', usePct: 0 };
        return { ...plain, models: models[id] ?? [], ...offer };
      },
    },
    now: () => now,
  });
  const later = (ms: number) => {
    now += ms;
  };
  return { gateway, offers, counts, index, models, later };
}

t.test('a choice costs the same however many workers have the model, and all of them are chosen in turn', async (t) => {
  const ids = Array.from({ length: 20_000 }, (_, i) => `w${i}`);
  const { gateway, counts } = create(Object.fromEntries(ids.map((id) => [id, ['tiny']])));
  const chosen = new Set<string>();
  for (let i = 0; i < 200; i += 1) {
    const one = gateway.choose('tiny', NONE);
    chosen.add(one?.workerId ?? '');
  }
  t.equal(chosen.size, 200, 'each request goes to another one');
  t.ok(counts.lookups <= 200 * 256, `${counts.lookups} workers were looked up`);
  counts.lookups = 0;
  t.equal(gateway.choose('other', NONE), null);
  t.equal(counts.lookups, 0);
  t.same(gateway.models(), ['tiny']);
  t.equal(counts.lookups, 1);
});

t.test('an exact name takes precedence over that of a file, and a tried worker is not chosen again', async (t) => {
  const { gateway } = create({ exact: ['tiny'], file: ['/srv/Tiny.gguf'], other: ['/srv/other.gguf'] });
  t.match(gateway.choose('tiny', NONE), { workerId: 'exact', model: 'tiny' });
  t.equal(gateway.choose('tiny', new Set(['exact'])), null);
  t.match(gateway.choose('TINY.gguf', NONE), { model: /tiny/i });
  t.match(gateway.choose('other', NONE), { workerId: 'other', model: '/srv/other.gguf' });
  t.equal(gateway.modelNamed('OTHER'), '/srv/other.gguf');
  t.equal(gateway.modelNamed('nothing'), null);
});

t.test('equal workers take turns; busy and failed ones rank lower, and one that lacks the model last', async (t) => {
  const { gateway, offers, later } = create({ a: ['m'], b: ['m'], c: ['m'], d: ['m'] });
  const next = () => gateway.choose('m', NONE)?.workerId;
  t.same([next(), next(), next(), next(), next()], ['a', 'b', 'c', 'd', 'a']);
  gateway.ranking.lacks('b', 'm');
  gateway.ranking.failed('c');
  gateway.ranking.began('d');
  t.same([next(), next()], ['a', 'a']);
  offers.delete('a');
  t.equal(next(), 'd', 'one with a request under way ranks before one that failed');
  offers.delete('d');
  t.equal(next(), 'c');
  offers.delete('c');
  t.equal(next(), 'b', 'and is asked all the same when there is no other');
  later(10_000);
  offers.set('c', {});
  t.equal(next(), 'b', 'only for a while');
  offers.clear();
  t.equal(next(), undefined);
  t.ok(gateway.isKnown('m'));
  t.notOk(gateway.isKnown('n'));
});

t.test('a worker whose models change is found by the new ones only', async (t) => {
  const { gateway, models, index } = create({ a: ['one', '/x/Two.gguf'], b: ['one'] });
  t.match(gateway.choose('two', NONE), { workerId: 'a' });
  models.a = ['three'];
  index.changed('a');
  t.equal(gateway.choose('two', NONE), null);
  t.match(gateway.choose('three', NONE), { workerId: 'a' });
  t.match(gateway.choose('one', NONE), { workerId: 'b' });
  delete models.a;
  delete models.b;
  index.changed('a');
  index.changed('b');
  t.same(gateway.models(), []);
  t.notOk(gateway.isKnown('one'));
});
