import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start, startWorld } from './support/browser.mjs';
import { nobody } from './support/nobody.mjs';

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
      r.profile().unset(['zip', 'country'], 'phone'),
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
  assert.deepEqual(results, [...accepted(11), 'invalid_operator', 'empty_group', ...accepted(2)]);
  const [[read], [second]] = ['Read', 'Second'].map(collector.named);
  assert.deepEqual([read.properties.company, read.properties.tab, read.properties.$user_id], [['acme'], 1, 'ada']);
  assert.ok(read.properties.$duration >= 0);
  assert.notEqual(read.properties.$device_id, second.properties.$device_id);
  assert.equal(second.properties.company, undefined);
  const updates = collector.updates();
  const of = (operator) => updates.filter((update) => operator in update).map((update) => update[operator]);
  assert.deepEqual(of('$set'), [{ plan: 'pro' }]);
  assert.deepEqual(of('$unset'), [['street', 'city'], ['zip', 'country', 'phone']]);
  assert.deepEqual(of('$delete'), ['']);
  assert.deepEqual(of('$union').map((lists) => Object.keys(lists)[0]).sort(), ['company', 'products']);
  assert.deepEqual(of('$group_key'), ['company']);
});

test('the filter of the app sees everything before it is recorded, also what came before the module', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const [results, seen] = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const seen = [];
    const filter = (subject, properties) => {
      seen.push(subject);
      if (subject.event == 'Debug') return;
      if (subject.event == 'Broken') throw Error('a fault of the app');
      if (subject.event == 'Unfit') return { ratio: NaN };
      if (subject.event == 'Promised') return Promise.resolve(properties);
      delete properties.street;
      for (const value of Object.values(properties)) delete value?.street;
      return properties;
    };
    const r = init('T', { endpoint, defaultConsent: 'granted', filter });
    const early = r.track('Early', { street: 'Elm Street 9' });
    await r.ready;
    const address = { street: 'Elm Street 9', city: 'Bonn' };
    const results = [
      early,
      r.register({ street: 'Elm Street 9', region: 'eu' }),
      r.track('Moved', { ...address, to: address }),
      r.profile().set(address),
      ...['Debug', 'Broken', 'Promised', 'Unfit'].map((name) => r.track(name).rejected),
      r.track('Wrong', { ratio: NaN }).rejected,
      r.register('street').rejected,
    ];
    await r.flush();
    return [[...results, address.street, r.stats().rejected], seen];
  }, collector.url);
  const refused = ['filtered', 'filtered', 'filtered', 'not_finite', 'not_finite', 'not_an_object'];
  assert.deepEqual(results, ['held', 'accepted', 'accepted', 'accepted', ...refused, 'Elm Street 9', 6]);
  const [{ properties }] = await collector.arrived('Moved');
  assert.deepEqual([properties.street, properties.city, properties.to, properties.region], [undefined, 'Bonn', { city: 'Bonn' }, 'eu']);
  assert.deepEqual(collector.updates().map((update) => update.$set), [{ city: 'Bonn' }]);
  assert.equal(collector.named('Early')[0].properties.street, undefined);
  assert.deepEqual(seen, [
    { event: 'Early' },
    'registered',
    { event: 'Moved' },
    'profile',
    ...['Debug', 'Broken', 'Promised', 'Unfit'].map((event) => ({ event })),
  ]);
});

test('whose profile it is, is not for a filter to see or say', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const seen = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const seen = [];
    const filter = (subject, properties) => {
      seen.push(subject, Object.keys(properties));
      return { ...properties, $group_id: 'another' };
    };
    const r = init('T', { endpoint, defaultConsent: 'granted', filter });
    await r.ready;
    seen.push(r.group('company', 'acme').set({ city: 'Bonn' }));
    await r.flush();
    return seen;
  }, collector.url);
  assert.deepEqual(seen, ['profile', ['$set'], 'accepted']);
  const [{ $group_key, $group_id, $set }] = collector.updates();
  assert.deepEqual([$group_key, $group_id, $set], ['company', 'acme', { city: 'Bonn' }]);
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

test('what the page denies is never recorded, whoever sets it', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', denyList: ['ssn', 'iban'] });
  await page.evaluate(async () => {
    const { r } = window;
    r.register({ ssn: 1, plan: 'pro' });
    r.track('E', { iban: 2, n: 3 });
    r.profile().set({ ssn: 4, name: 'x' });
    await r.flush();
  });
  const [{ properties }] = collector.named('E');
  assert.deepEqual([properties.plan, properties.n, properties.ssn, properties.iban], ['pro', 3, undefined, undefined]);
  assert.ok(!collector.requests.some(({ text }) => /ssn|iban/.test(text)));
});

test('a text that no module could hold is refused, and the client goes on', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(() => {
    const { Instance } = WebAssembly;
    WebAssembly.Instance = function (...how) {
      const instance = new Instance(...how);
      window.memory = Object.values(instance.exports).find((one) => one instanceof WebAssembly.Memory) ?? window.memory;
      return instance;
    };
  });
  const page = await open({ defaultConsent: 'granted' });
  const [results, bytes] = await page.evaluate(() => {
    const long = 'x'.repeat(30_000_000);
    const results = [window.r.track(long), window.r.track('E', { long }), window.r.identify(long), window.r.setGroup('company', long)];
    return [results.map(({ rejected }) => rejected), window.memory.buffer.byteLength];
  });
  assert.deepEqual(results, ['name_too_long', 'too_large', 'too_large', 'too_large']);
  assert.ok(bytes < 30_000_000, `${bytes} bytes of the module's memory`);
  await page.evaluate(() => window.r.track('After'));
  await collector.arrived('After');
});

test('what is no text is refused, and becomes neither "undefined" nor "null" nor "[object Object]"', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', idMerge: 'original' });
  const [wrong, accepted] = await page.evaluate(async () => {
    const { r } = window;
    const kinds = [undefined, null, 7, true, { a: 1 }, ['a'], () => 1];
    const reasons = (call, ...more) => [...new Set([...kinds, ...more].map((kind) => call(kind).rejected ?? 'ACCEPTED ' + kind))].join();
    const wrong = {
      track: reasons((kind) => r.track(kind)),
      timeEvent: reasons((kind) => r.timeEvent(kind)),
      identify: reasons((kind) => r.identify(kind)),
      switchUser: reasons((kind) => r.switchUser(kind)),
      alias: reasons((kind) => r.alias(kind)),
      unregister: reasons((kind) => r.unregister(kind)),
      setGroup: reasons((kind) => r.setGroup('company', kind), new Date(0), new String('s')),
      addGroup: reasons((kind) => r.addGroup('company', kind), new Date(0), new String('s')),
      removeGroup: reasons((kind) => r.removeGroup('company', kind), new Date(0), new String('s')),
      'setGroup without an id': r.setGroup('company').rejected,
      'a key of setGroup': reasons((kind) => r.setGroup(kind, 'acme')),
      'a key of group': reasons((kind) => r.group(kind, 'acme').set({})),
      'an id of group': reasons((kind) => r.group('company', kind).set({})),
    };
    const noObjects = [7, true, ['a'], 'text', '{"a":1}', new Date(0), () => 1];
    wrong.properties = [...new Set(noObjects.map((kind) => r.track('E', kind).rejected))].join();
    for (const name of ['register', 'registerOnce', 'registerForSession']) {
      wrong[name] = [...new Set([undefined, null, ...noObjects].map((kind) => r[name](kind).rejected))].join();
    }
    for (const name of ['set', 'setOnce', 'add', 'append', 'union', 'remove']) {
      wrong[name] = [...new Set([undefined, null, ...noObjects].map((kind) => r.profile()[name](kind).rejected))].join();
    }
    const accepted = [r.track('Bare'), r.track('Bare', undefined), r.track('Bare', null), r.unregister('')];
    await r.flush();
    return [wrong, accepted];
  });
  assert.deepEqual(wrong, {
    track: 'empty_name',
    timeEvent: 'empty_name',
    identify: 'empty_user',
    switchUser: 'empty_user',
    alias: 'empty_user',
    unregister: 'empty_name',
    setGroup: 'empty_group',
    addGroup: 'empty_group',
    removeGroup: 'empty_group',
    'setGroup without an id': 'empty_group',
    'a key of setGroup': 'empty_group',
    'a key of group': 'empty_group',
    'an id of group': 'empty_group',
    properties: 'not_an_object',
    register: 'not_an_object',
    registerOnce: 'not_an_object',
    registerForSession: 'not_an_object',
    set: 'invalid_operator',
    setOnce: 'invalid_operator',
    add: 'invalid_operator',
    append: 'invalid_operator',
    union: 'invalid_operator',
    remove: 'invalid_operator',
  });
  assert.deepEqual(accepted, Array(4).fill('accepted'));
  assert.deepEqual(collector.events().map((event) => event.event), ['Bare', 'Bare', 'Bare']);
  assert.deepEqual(collector.updates(), []);
});

test('half of a surrogate pair is refused wherever it stands', async (t) => {
  const { open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', idMerge: 'original' });
  const [reasons, accepted, rejected] = await page.evaluate(() => {
    const { r } = window;
    const half = 'u\ud83d';
    const results = [
      r.track(half),
      r.timeEvent(half),
      r.identify(half),
      r.identify('\ude00u'),
      r.switchUser(half),
      r.alias(half),
      r.unregister(half),
      r.setGroup(half, 'acme'),
      r.setGroup('company', half),
      r.addGroup('company', half),
      r.removeGroup('company', half),
      // Side by side they would be whole.
      r.setGroup('company\ud83d', '\ude00'),
      r.group(half, 'acme').set({}),
      r.group('company', half).set({}),
      r.track('E', { [half]: 1 }),
      r.profile().set({ a: [half] }),
    ];
    const whole = 'u😀';
    const accepted = [r.track(whole, { whole }), r.setGroup('company', whole), r.identify(whole)];
    accepted.push(r.distinctId() === whole);
    return [results.map(({ rejected }) => rejected), accepted, r.stats().rejected];
  });
  assert.deepEqual(reasons, Array(16).fill('lone_surrogate'));
  assert.deepEqual(accepted, ['accepted', 'accepted', 'accepted', true]);
  assert.equal(rejected, 16);
});

test('a number that is not finite is refused, and a date that is none; what JSON leaves out is not', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const [reasons, accepted, rejected] = await page.evaluate(async () => {
    const { r } = window;
    const none = new Date(NaN);
    const results = [
      ...[NaN, Infinity, -Infinity, new Number(NaN), none, [1, NaN], { deep: [{ price: NaN }] }, [none]].map((value) =>
        r.track('E', { before: null, value }),
      ),
      r.track('E', { value: { toJSON: () => NaN } }),
      r.track('E', { toJSON: () => ({ n: NaN }) }),
      r.register({ n: NaN }),
      r.registerOnce({ n: NaN }),
      r.registerForSession({ n: NaN }),
      r.profile().set({ n: NaN }),
      r.profile().setOnce({ n: none }),
      r.profile().add({ n: NaN }),
      r.profile().append({ n: NaN }),
      r.profile().union({ n: [NaN] }),
      r.profile().remove({ n: NaN }),
      r.group('company', 'acme').set({ n: NaN }),
    ];
    const accepted = [
      r.track('Sound', {
        none: null,
        text: 'null NaN',
        left: undefined,
        out() {},
        symbol: Symbol('s'),
        holes: [undefined, null],
        own: { toJSON: () => null },
        date: new Date(0),
        bare: Object.assign(Object.create(null), { n: 1 }),
        valueOf: 5,
        number: new Number(5),
      }),
      r.profile().set({ n: null }),
    ];
    await r.flush();
    return [results.map((result) => result.rejected ?? result), accepted, r.stats().rejected];
  });
  assert.deepEqual(reasons, Array(20).fill('not_finite'));
  assert.deepEqual(accepted, ['accepted', 'accepted']);
  assert.equal(rejected, 20);
  const [{ properties }] = collector.named('Sound');
  const { none, text, holes, own, date, bare, number } = properties;
  assert.deepEqual({ none, text, holes, own, date, bare, number }, {
    none: null,
    text: 'null NaN',
    holes: [null, null],
    own: null,
    date: '1970-01-01T00:00:00.000Z',
    bare: { n: 1 },
    number: 5,
  });
  assert.ok(!['left', 'out', 'symbol'].some((name) => name in properties));
});

test('whatever properties throw, nothing here does', async (t) => {
  const { open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const look = async () => {
    const { init } = await import('/dist/index.js');
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const thrown = [Symbol('s'), Object.create(null), undefined, null, 'text', 7, Error('why')];
    const clients = { loaded: window.r, loading: init('U', { defaultConsent: 'granted' }) };
    return Object.entries(clients).map(([name, r]) => [
      name,
      ...thrown.flatMap((what) => [
        r.track('E', { toJSON() { throw what; } }),
        r.track('E', { get bad() { throw what; } }),
        r.setGroup('company', { toJSON() { throw what; } }),
        r.profile().unset([{ toJSON() { throw what; } }]),
      ]),
      r.track('E', proxy),
      r.profile().unset(proxy),
      r.profile().set({ proxy }),
    ]);
  };
  for (const [name, ...results] of await page.evaluate(look)) {
    assert.equal(results.length, 31);
    for (const { rejected, hint } of results) assert.deepEqual([rejected, typeof hint], ['not_json', 'string'], name);
    assert.equal(results[24].hint, 'why');
  }
});

test('what the module finds unfit among the calls made before it had loaded is not recorded, and counted', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const [results, rejected, user] = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const r = init('T', { endpoint, defaultConsent: 'granted', flushInterval: 50 });
    const cycle = {};
    cycle.self = cycle;
    const results = [
      r.track('E', { n: NaN }),
      r.track('E', { n: new Date(NaN) }),
      r.identify('u\ud800'),
      r.setGroup('company'),
      r.track('E', cycle).rejected,
      r.track('Last', { none: null }),
    ];
    await r.ready;
    await r.flush();
    return [results, r.stats().rejected, r.distinctId()];
  }, collector.url);
  assert.deepEqual(results, ['held', 'held', 'held', 'held', 'not_json', 'held']);
  assert.equal(rejected, 5);
  assert.ok(user.startsWith('$device:'));
  const [last] = await collector.arrived('Last');
  assert.deepEqual([last.properties.none, last.properties.company], [null, undefined]);
  assert.deepEqual(collector.events().map((event) => event.event), ['Last']);
});

test('a call made before the module has loaded is not judged by what its values have become since', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const rejected = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const r = init('T', { endpoint, defaultConsent: 'granted' });
    const cart = { coupon: null, total: 5 };
    r.track('Bought', cart);
    r.track('Wrong', { total: NaN });
    cart.total = NaN;
    await r.ready;
    await r.flush();
    return r.stats().rejected;
  }, collector.url);
  assert.equal(rejected, 1);
  const events = collector.events().map(({ event, properties: { coupon, total } }) => [event, coupon, total]);
  assert.deepEqual(events, [['Bought', null, 5]]);
});

test('a burst before the module has loaded is kept, within bounds, and what is refused is counted', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const burst = ([endpoint, count, length]) =>
    import('/dist/index.js').then(async ({ init }) => {
      const r = init('T' + count, { endpoint, defaultConsent: 'granted' });
      const results = {};
      for (let n = 0; n < count; n++) {
        const result = r.track('Burst', { n, text: 'x'.repeat(length) });
        results[result.rejected ?? result] = (results[result.rejected ?? result] ?? 0) + 1;
      }
      const before = r.stats();
      await r.ready;
      await r.flush();
      const { tracked, rejected } = r.stats();
      return { results, before, tracked, rejected };
    });
  const kept = await page.evaluate(burst, [collector.url, 10_000, 200]);
  assert.deepEqual([kept.results, kept.before], [{ held: 10_000 }, undefined]);
  assert.equal(kept.tracked + kept.rejected, 10_000);

  const { results, tracked, rejected } = await page.evaluate(burst, [collector.url, 12_000, 900]);
  assert.ok(results.held > 9_000 && results.hold_full > 2_000, JSON.stringify(results));
  assert.equal(results.held + results.hold_full, 12_000);
  assert.equal(tracked + rejected, 12_000);
  assert.ok(rejected >= results.hold_full);
});

test('a queue that is full says so, once', async (t) => {
  const { open } = await world.person(t);
  const page = await open();
  const said = [];
  page.on('console', (message) => message.text().startsWith('refrain: ') && said.push(message.text()));
  await start(page, { url: await nobody() }, { defaultConsent: 'granted', queueLimitBytes: 2_000 });
  const { dropped } = await page.evaluate(() => {
    for (let n = 0; n < 20; n++) window.r.track('E', { n, text: 'x'.repeat(100) });
    return window.r.stats();
  });
  await page.evaluate(() => console.log('refrain: end'));
  while (said.at(-1) !== 'refrain: end') await page.waitForEvent('console');
  assert.ok(dropped.evicted > 1);
  assert.deepEqual(said, ['refrain: the queue is full: the oldest events are dropped', 'refrain: end']);
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

test('a flush ends in time though the server asks for hours of rest', async (t) => {
  const { collector, open } = await world.person(t);
  collector.answers.push((_, response) => response.writeHead(429, { 'Retry-After': '7200' }).end());
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Kept'));
  assert.equal(await page.evaluate(() => window.r.flush()), false, 'it has failed meanwhile');
  assert.equal(await page.evaluate(() => window.r.flush(3_600_000)), false, 'nothing comes within an hour');
  assert.deepEqual(await page.evaluate(() => [window.r.stats().queued, window.r.stats().delivered]), [1, 0]);
});

for (const ending of ['flush', 'shutdown']) {
  test(`${ending} ends in time though the module does not come, and is done when it does`, async (t) => {
    const { collector, context, open } = await world.person(t);
    let come;
    const stuck = new Promise((done) => (come = done));
    await context.route('**/*.wasm', (route) => stuck.then(() => route.continue()));
    const page = await open();
    await start(page, collector, { defaultConsent: 'granted', early: 'Early' });
    assert.equal(await page.evaluate((ending) => window.r[ending](1), ending), false);
    assert.equal(await page.evaluate(() => window.r.track('Still waiting')), 'held');
    come();
    if (ending === 'flush') await collector.arrived('Early');
    else await page.waitForFunction(() => window.r.track('Late').rejected === 'closed');
  });
}

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
  assert.equal(after.rejected, 'closed');
  assert.deepEqual(collector.events().map((event) => event.event), ['One', 'Two']);
});

test('larger requests are packed while the page lives, and none if the app says so', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', flushInterval: 3_600_000 });
  await page.evaluate(async () => {
    const text = 'umbrella '.repeat(1_000);
    window.r.track('Small');
    await window.r.flush();
    window.r.track('Large', { text });
    await window.r.flush();
  });
  await collector.arrived('Large');
  assert.deepEqual(collector.tracks().map(({ encoding, type }) => [encoding, type]), [['', 'application/json'], ['gzip', 'application/json']]);
  await start(page, collector, { defaultConsent: 'granted', gzip: false, token: 'U' });
  await page.evaluate(() => (window.r.track('Plain', { text: 'x'.repeat(5_000) }), window.r.flush()));
  await collector.arrived('Plain');
  assert.equal(collector.tracks().at(-1).encoding, '');
});

test('a page says of itself what it is asked for, and nothing that stands behind an address', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  await page.goto(world.site.url + 'shop/umbrellas?utm_source=letter&utm_term=&email=ada%40example.com#ada', {
    referer: world.site.url + 'search?q=ada',
  });
  await start(page, collector, { defaultConsent: 'granted' });
  const context = await page.evaluate(async () => {
    const { pageContext } = await import('/dist/context.js');
    window.r.track('Viewed', pageContext());
    return pageContext();
  });
  const { $current_url, $referrer, $referring_domain, utm_source, $screen_width, ...others } = context;
  assert.deepEqual([$current_url, $referrer], [world.site.url + 'shop/umbrellas', world.site.url + 'search']);
  assert.deepEqual([$referring_domain, utm_source, $screen_width > 0], ['127.0.0.1', 'letter', true]);
  const names = ['$browser', '$browser_language', '$browser_version', '$device_type', '$os', '$screen_height'];
  assert.deepEqual(Object.keys(others).filter((name) => !names.includes(name)), []);
  assert.doesNotMatch(JSON.stringify(context), /ada|email/);
  const [event] = await collector.arrived('Viewed');
  assert.equal(event.properties.$current_url, $current_url);
});

test('no request says where the page is, whatever the page lets others know', async (t) => {
  const { collector, context } = await world.person(t);
  for (const endpoint of [collector.url, world.site.url]) {
    const page = await context.newPage();
    await page.goto(world.site.url + 'account?email=ada%40example.com');
    const asked = page.waitForRequest((request) => request.method() === 'POST');
    await page.evaluate(async (endpoint) => {
      document.head.innerHTML = '<meta name="referrer" content="unsafe-url">';
      const { init } = await import('/dist/index.js');
      init('T', { endpoint, defaultConsent: 'granted' }).track('E');
    }, endpoint);
    assert.equal((await (await asked).allHeaders()).referer, undefined, endpoint);
    await page.close();
  }
});

test('what is not taken compressed is sent again as it is', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  collector.answers.push((_, response) => response.writeHead(415).end());
  await page.evaluate(() => window.r.track('Large', { text: 'x'.repeat(5_000) }));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  assert.deepEqual(collector.tracks().map(({ encoding }) => encoding), ['gzip', '']);
  const { dropped } = await page.evaluate(() => window.r.stats());
  assert.equal(Object.values(dropped).reduce((sum, count) => sum + count), 0);
});
