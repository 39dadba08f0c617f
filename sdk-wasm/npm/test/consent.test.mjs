import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kept, NOTHING, start, startWorld } from './support/browser.mjs';

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

const CONSENT_ONLY = { local: ['refrain:T:consent'], session: [], databases: { 'refrain:T': ['consent'] } };

/** The names of what is kept. */
const names = async (page) => {
  const { local, session, databases } = await kept(page);
  const records = Object.entries(databases).map(([name, content]) => [name, Object.keys(content)]);
  return { local: Object.keys(local), session: Object.keys(session), databases: Object.fromEntries(records) };
};

/** Nobody was connected to (C13). A hint to connect would stand in the page: in windows that keep nothing Chromium takes none. */
const nobodyIsAsked = async (page, collector) => {
  assert.equal(await collector.connections(), 0);
  assert.equal(await page.evaluate(() => document.querySelectorAll('link').length), 0);
};

test('C3 C13 while the decision is pending nothing is written and nobody connected to, and a grant releases what was held', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({});
  const results = await page.evaluate(async () => {
    const { r } = window;
    const results = [r.track('Held', { n: 1 }), r.register({ plan: 'pro' }), r.identify('u1'), r.track('Held', { n: 2 })];
    await r.flush();
    return [...results, r.consent().verdict, r.distinctId() ?? null, r.stats().held];
  });
  assert.deepEqual(results, ['held', 'held', 'held', 'held', 'hold', null, 2]);
  assert.deepEqual(await kept(page), NOTHING);
  await nobodyIsAsked(page, collector);

  await page.evaluate(() => window.r.optIn());
  const [one, two] = await collector.arrived('Held', 2);
  assert.deepEqual([one.properties.n, one.properties.plan, two.properties.plan], [1, undefined, 'pro']);
  assert.ok(one.properties.distinct_id.startsWith('$device:'));
  assert.equal(two.properties.distinct_id, 'u1');
  assert.equal((await collector.arrived('$opt_in')).length, 1);
  assert.deepEqual((await names(page)).databases, { 'refrain:T': ['consent', 'identity'] });
});

test('C12 nothing that is sent holds the secret of a device, but for its erasure', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({});
  const secrets = [];
  for (const change of ['optIn', 'reset', 'switchUser']) {
    await page.evaluate(async (change) => {
      await window.r[change]('u1');
      window.r.track(change);
      await window.r.flush();
    }, change);
    secrets.push(JSON.parse((await kept(page)).databases['refrain:T'].identity).secret);
  }
  await collector.arrived('switchUser');
  assert.equal(new Set(secrets).size, 3);
  assert.deepEqual(collector.requests.filter(({ text }) => secrets.some((secret) => text.includes(secret))), []);
  await page.evaluate(() => window.r.optOut({ erase: true }));
  const taken = () => collector.requests.find(({ path, method }) => method === 'POST' && path === '/refrain/v1/erasures');
  assert.equal(JSON.parse((await collector.until('an erasure', taken)).text).secret, secrets[2]);
});

test('C3 C4 C14 after optOut only the choice is kept, and nothing arrives any more', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', flushInterval: 3_600_000 });
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => {
    window.r.register({ plan: 'pro' });
    window.r.track('Queued');
  });
  await page.waitForFunction(() => Object.values(localStorage).some((value) => value.includes('Queued')));
  const { inTab, audit, rejected } = await page.evaluate(async () => {
    const { r } = window;
    const gone = r.optOut();
    const inTab = [r.consent().verdict, r.track('Refused').rejected, r.stats().queued];
    await gone;
    return { inTab, audit: await r.audit(), rejected: r.identify('u1') };
  });
  assert.deepEqual(inTab, ['deny', 'denied', 0], 'this tab has stopped before the promise was returned');
  assert.deepEqual(await names(page), CONSENT_ONLY);
  assert.deepEqual(audit, {
    items: ['localStorage refrain:T:consent', 'indexedDB refrain:T consent'],
    queued: 0, held: 0, timers: 0, inFlight: 0, outbox: [],
  });
  assert.equal(rejected.rejected, 'denied');

  const count = collector.requests.length;
  await page.evaluate(async (url) => {
    await window.r.flush();
    await fetch(url + '/marker');
  }, collector.url);
  assert.deepEqual(collector.requests.slice(count).map(({ path }) => path), ['/marker']);
  const stats = await page.evaluate(() => window.r.stats());
  assert.equal(stats.dropped.withdrawn, 1);
});

test('C5 an objection counts at once, though the module has not loaded', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const [early, late, stats, again] = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const r = (window.r = init('T', { endpoint, defaultConsent: 'granted', flushInterval: 50 }));
    const before = [r.track('Before'), r.hasOptedOut()];
    const gone = r.optOut();
    const early = [...before, r.track('E').rejected, r.identify('u').rejected, r.hasOptedOut(), r.consent()];
    await gone;
    const stats = r.stats();
    const late = r.consent();
    // The last word counts.
    const other = init('U', { endpoint, defaultConsent: 'granted' });
    other.optOut().catch(() => {});
    const granted = other.optIn();
    const again = [other.hasOptedOut(), other.consent().verdict, other.track('After')];
    await granted;
    return [early, late, stats, [...again, other.consent().verdict]];
  }, collector.url);
  const refused = { decision: 'denied', verdict: 'deny', reason: 'person', sentence: 'Not collecting: you have objected.' };
  assert.deepEqual(early, ['held', false, 'denied', 'denied', true, refused]);
  assert.deepEqual(late, refused);
  assert.deepEqual([stats.rejected, stats.dropped.withdrawn], [2, 1]);
  assert.deepEqual(again, [false, 'hold', 'held', 'allow']);
  await collector.arrived('After');
  assert.deepEqual([...collector.named('Before'), ...collector.named('E')], []);
});

test('C7 C6 a refusal is remembered after a reload; a later grant is a new device and sends nothing old', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', flushInterval: 3_600_000 });
  await page.evaluate(() => window.r.track('First'));
  const [first] = await collector.arrived('First');
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => {
    window.r.track('Old');
    return window.r.optOut();
  });
  await page.reload();
  await start(page, collector, { defaultConsent: 'granted' });
  const after = await page.evaluate(() => {
    const { r } = window;
    return [r.hasOptedOut(), r.consent(), r.track('Refused').rejected, r.deviceId() ?? null];
  });
  assert.deepEqual(after, [
    true,
    { decision: 'denied', verdict: 'deny', reason: 'person', sentence: 'Not collecting: you have objected.' },
    'denied',
    null,
  ]);
  assert.deepEqual(await names(page), CONSENT_ONLY);

  await page.evaluate(async () => {
    await window.r.optIn();
    window.r.track('New');
  });
  const [fresh] = await collector.arrived('New');
  assert.notEqual(fresh.properties.$device_id, first.properties.$device_id);
  assert.deepEqual(collector.named('Old'), []);
  assert.deepEqual(collector.named('Refused'), []);
  assert.equal(collector.named('$opt_in').length, 1);
});

test('C11 opting in twice is one event; a reload makes no third', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({});
  await page.evaluate(async () => {
    await window.r.optIn();
    await window.r.optIn();
  });
  await page.reload();
  await start(page, collector);
  await page.evaluate(async () => {
    await window.r.optIn();
    window.r.track('Last');
    await window.r.flush();
  });
  await collector.arrived('Last');
  assert.equal(new Set(collector.named('$opt_in').map((event) => event.properties.$insert_id)).size, 1);
});

test('Global Privacy Control says no, in words, and nothing is written', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(() => Object.defineProperty(navigator, 'globalPrivacyControl', { value: true }));
  const page = await open({ defaultConsent: 'granted' });
  const [consent, result] = await page.evaluate(async () => {
    const result = [window.r.track('E').rejected, window.r.identify('u').rejected];
    await window.r.flush();
    return [window.r.consent(), result];
  });
  assert.deepEqual(consent, {
    decision: 'unset',
    verdict: 'deny',
    reason: 'gpc',
    sentence: 'Not collecting: this browser sends Global Privacy Control.',
  });
  assert.deepEqual(result, ['denied', 'denied']);
  assert.deepEqual(await kept(page), NOTHING);
  await nobodyIsAsked(page, collector);

  await page.evaluate(() => window.r.optIn());
  await collector.arrived('$opt_in');
});

test('an objection with an option that there is not counts, and fails', async (t) => {
  const { open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const seen = await page.evaluate(async () => {
    const { init } = await import('/dist/index.js');
    const early = init('U', { defaultConsent: 'granted' });
    const say = ({ code, message }) => `${code} ${message}`;
    const errors = await Promise.all([window.r, early].map((r) => r.optOut({ delete_profile: true }).then(() => '', say)));
    await window.r.optOut(null);
    return [errors, window.r.consent().decision, early.consent().decision];
  });
  const error = 'unknown_option unknown_option: no option delete_profile; there are: erase, deleteProfile';
  assert.deepEqual(seen, [[error, error], 'denied', 'denied']);
});

test('C1 a browser that begins to say no while the page is open is heard when it comes into view', async (t) => {
  const { open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', signals: { dnt: false } });
  assert.equal(await page.evaluate(() => window.r.consent().verdict), 'allow');
  const reason = await page.evaluate(() => {
    Object.defineProperty(navigator, 'globalPrivacyControl', { value: true });
    document.dispatchEvent(new Event('visibilitychange'));
    return window.r.consent().reason;
  });
  assert.equal(reason, 'gpc');
});

test('Do Not Track says no, unless the host does not honour it', async (t) => {
  const { context, open } = await world.person(t);
  await context.addInitScript(() => Object.defineProperty(navigator, 'doNotTrack', { value: '1' }));
  const page = await open({ defaultConsent: 'granted' });
  assert.equal(await page.evaluate(() => window.r.consent().reason), 'dnt');
  assert.deepEqual(await kept(page), NOTHING);
  const other = await open({ defaultConsent: 'granted', honorDnt: false });
  assert.equal(await other.evaluate(() => window.r.consent().verdict), 'allow');
});

test('C3 C13 a default of "denied" writes nothing and connects to nobody, and C10 asking writes nothing', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'denied' });
  const seen = await page.evaluate(async () => {
    const { r } = window;
    return [r.consent().reason, r.hasOptedOut(), r.track('E').rejected, (await r.audit()).items];
  });
  assert.deepEqual(seen, ['default', false, 'denied', []]);
  assert.deepEqual(await kept(page), NOTHING);
  await nobodyIsAsked(page, collector);
});

test('C4 what an allow has left goes when a signal says no', async (t) => {
  const { collector, context, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted', flushInterval: 3_600_000 });
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => window.r.track('Left'));
  await page.waitForFunction(() => Object.values(localStorage).some((value) => value.includes('Left')));
  await context.addInitScript(() => Object.defineProperty(navigator, 'globalPrivacyControl', { value: true }));
  await page.goto(world.site.url + '?again');
  assert.ok((await names(page)).local.length > 1);
  await start(page, collector, { defaultConsent: 'granted' });
  assert.equal(await page.evaluate(() => window.r.consent().reason), 'gpc');
  assert.deepEqual(await names(page), CONSENT_ONLY);
});

test('an erasure is asked for with the withdrawal, and carries the proof', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('First'));
  const [first] = await collector.arrived('First');
  await page.evaluate(() => window.r.optOut({ erase: true }));
  const asked = await collector.until('the erasure', () => collector.requests.find(({ path, method }) => path === '/refrain/v1/erasures' && method === 'POST'));
  const { token, device_id, secret } = JSON.parse(asked.text);
  assert.deepEqual([token, device_id], ['T', first.properties.$device_id]);
  assert.match(secret, /^[0-9a-f]{32}$/);
  // The server is asked, without anything of the device, until it hands out its receipt.
  await collector.until('the question', () => collector.requests.find(({ path, method }) => path === '/refrain/v1/erasures/e1' && method === 'GET'));
  await page.waitForFunction(async () => (await window.r.audit()).outbox[0].state === 'completed');
  const audit = await page.evaluate(() => window.r.audit());
  assert.deepEqual(audit.outbox, [
    { id: audit.outbox[0].id, kind: 'device', state: 'completed', answer: { id: 'e1', state: 'completed', receipt: { events: 1 } } },
  ]);
  assert.deepEqual(audit.items, ['localStorage refrain:T:consent', 'indexedDB refrain:T consent']);
});
