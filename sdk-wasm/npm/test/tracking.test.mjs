import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start, startWorld } from './support/browser.mjs';

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

test('events arrive in batches, with merged properties', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const results = await page.evaluate(() => {
    const { r } = window;
    r.register({ plan: 'pro', theme: 'dark' });
    r.registerOnce({ theme: 'light', source: 'ad' });
    const results = [];
    for (let n = 0; n < 120; n++) results.push(r.track('Clicked', { n, theme: 'own', mp_lib: 'theirs' }));
    return results;
  });
  assert.deepEqual(new Set(results), new Set(['accepted']));
  const events = await collector.arrived('Clicked', 120);
  assert.deepEqual(events.map((event) => event.properties.n), [...Array(120).keys()]);
  const { properties } = events[119];
  assert.deepEqual(
    [properties.plan, properties.theme, properties.source, properties.token, properties.mp_lib],
    ['pro', 'own', 'ad', 'T', 'refrain-web'],
  );
  assert.match(properties.distinct_id, /^\$device:[0-9a-f-]{36}$/);
  assert.equal(properties.distinct_id, '$device:' + properties.$device_id);
  assert.ok(Math.abs(properties.time - Date.now()) < 60_000);
  assert.equal(new Set(events.map((event) => event.properties.$insert_id)).size, 120);
  assert.ok(Math.max(...collector.tracks().map(({ events }) => events.length)) <= 50);
  for (const { url, type } of collector.tracks()) {
    assert.equal(url, '/track/?verbose=1&ip=0');
    assert.equal(type, 'application/json');
  }
  assert.equal(await page.evaluate(() => window.r.flush()), true);
  const stats = await page.evaluate(() => window.r.stats());
  assert.deepEqual([stats.tracked, stats.delivered, stats.queued, stats.held], [120, 120, 0, 0]);
});

test('profiles, groups and timers', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const results = await page.evaluate(async () => {
    const { r } = window;
    const results = [
      r.identify('ada'),
      r.profile().set({ plan: 'pro' }),
      r.profile().unset('street', 'city'),
      r.profile().delete(),
      r.group('company', 'acme').union({ products: ['umbrella'] }),
      r.addGroup('company', 'acme'),
      r.registerForSession({ tab: 1 }),
      r.timeEvent('Read'),
      (await r.audit()).timers > 0 ? 'accepted' : 'no timer',
      r.track('Read'),
      r.profile().add({ logins: '1' }).rejected,
      r.group('company', '').set({ a: 1 }).rejected,
      r.switchUser('bob'),
      r.track('Second'),
    ];
    await r.flush();
    return results;
  });
  const accepted = (count) => Array(count).fill('accepted');
  assert.deepEqual(results, [...accepted(10), 'invalid_operator', 'empty_group', ...accepted(2)]);
  const [[read], [second]] = ['Read', 'Second'].map(collector.named);
  assert.deepEqual([read.properties.company, read.properties.tab, read.properties.$user_id], [['acme'], 1, 'ada']);
  assert.ok(read.properties.$duration >= 0);
  assert.notEqual(read.properties.$device_id, second.properties.$device_id);
  assert.equal(second.properties.company, undefined);
  const updates = collector.updates();
  const of = (operator) => updates.filter((update) => operator in update).map((update) => update[operator]);
  assert.deepEqual(of('$set'), [{ plan: 'pro' }]);
  assert.deepEqual(of('$unset'), [['street', 'city']]);
  assert.deepEqual(of('$delete'), ['']);
  assert.deepEqual(of('$union').map((lists) => Object.keys(lists)[0]).sort(), ['company', 'products']);
  assert.deepEqual(of('$group_key'), ['company']);
});

test('the first event after quiet leaves at once, the rest at the interval', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', flushInterval: 3_600_000 });
  await page.evaluate(() => window.r.track('First'));
  await collector.arrived('First');
  await page.evaluate(() => {
    window.r.track('Second');
    return window.r.flush();
  });
  assert.equal(collector.named('Second').length, 1);
});

test('calls made before the module has loaded keep their moment and their order', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const [results, before] = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const before = Date.now();
    const r = (window.r = init('T', { endpoint, defaultConsent: 'granted', flushInterval: 50 }));
    const properties = { n: 1 };
    const results = [r.track('Early', properties), r.identify('u1'), r.track('Later')];
    properties.n = 2;
    return [results, before];
  }, collector.url);
  assert.deepEqual(results, ['held', 'held', 'held']);
  const [later] = await collector.arrived('Later');
  const [early] = await collector.arrived('Early');
  assert.equal(early.properties.n, 1, 'properties are those of the call');
  assert.ok(early.properties.time >= before && early.properties.time <= before + 100, 'so is the time');
  assert.ok(early.properties.distinct_id.startsWith('$device:'));
  assert.equal(later.properties.distinct_id, 'u1');
  assert.deepEqual(collector.events().map((event) => event.event), ['Early', '$identify', 'Later']);
});

test('what cannot be recorded is refused with a reason, and nothing throws', async (t) => {
  const { open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const reasons = await page.evaluate(() => {
    const { r } = window;
    const cycle = {};
    cycle.self = cycle;
    return [
      r.track(''),
      r.track(undefined),
      r.track('x'.repeat(256)),
      r.track('E', cycle),
      r.track('E', { n: 1n }),
      r.track('E', [1]),
      r.track('E', () => 1),
      r.track('E', { get bad() { throw Error('no'); } }),
      r.track('E', { half: '\ud800' }),
      r.track('E', { text: 'x'.repeat(1_100_000) }),
      r.identify(''),
      r.identify('$device:x'),
      r.register('text'),
    ].map((result) => [result.rejected, typeof result.hint]);
  });
  assert.deepEqual(reasons.map(([reason]) => reason), [
    'empty_name', 'empty_name', 'name_too_long', 'not_json', 'not_json', 'not_an_object', 'not_an_object', 'not_json',
    'lone_surrogate', 'too_large', 'empty_user', 'reserved_user', 'not_an_object',
  ]);
  assert.ok(reasons.every(([, hint]) => hint === 'string'));
});

test('a server in trouble is tried again, with the same ids', async (t) => {
  const { collector, open } = await world.person(t);
  collector.answers.push((_, response) => response.writeHead(503).end());
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Once'));
  const [first, second] = await collector.arrived('Once', 2);
  assert.equal(first.properties.$insert_id, second.properties.$insert_id);
  await page.evaluate(() => window.r.flush());
  assert.equal(await page.evaluate(() => window.r.stats().delivered), 1);
});

test('an endpoint that fails preflights gets forms', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  await page.route('**/track/**', (route, request) => (request.method() === 'OPTIONS' ? route.abort() : route.continue()));
  let broken = 0;
  await page.route(collector.url + '/**', (route, request) => {
    if (request.headers()['content-type'] === 'application/json') {
      broken++;
      return route.abort('failed');
    }
    return route.continue();
  });
  await start(page, collector, { defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Formed', { text: 'a+b&c=d%20é' }));
  const [event] = await collector.arrived('Formed');
  assert.equal(event.properties.text, 'a+b&c=d%20é');
  assert.ok(broken > 0);
  assert.ok(collector.tracks().every(({ type }) => type === 'application/x-www-form-urlencoded'));
});

test('after shutdown nothing is recorded, and what was queued has left', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', flushInterval: 3_600_000 });
  const after = await page.evaluate(async () => {
    window.r.track('One');
    window.r.track('Two');
    await window.r.shutdown();
    return window.r.track('Three');
  });
  assert.equal(after.rejected, 'shut_down');
  assert.deepEqual(collector.events().map((event) => event.event), ['One', 'Two']);
});
