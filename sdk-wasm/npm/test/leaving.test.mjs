import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kept, start, startWorld } from './support/browser.mjs';

let world;
// Playwright turns off what keeps a page that is left.
before(async () => (world = await startWorld({ ignoreDefaultArgs: ['--disable-back-forward-cache'] })));
after(() => world.stop());

const SLOW = { defaultConsent: 'granted', flushInterval: 3_600_000 };

/** Does something in a page that ends with leaving it; whether its end is heard of is chance. */
const leave = (page, work, argument) => void page.evaluate(work, argument).catch(() => {});

/** Until the next page is there: Chromium may never close a context whose page is between two. */
const elsewhere = (page) => page.waitForURL('**/?elsewhere');

/** A page whose first event has left, so that the next ones wait for the interval. */
const quietPage = async (collector, open, options = SLOW) => {
  const page = await open(options);
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  return page;
};

test('a page that is left sends what is queued, as a form without a preflight', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  const count = collector.requests.length;
  leave(page, () => {
    window.r.track('Left', { text: 'é & + %' });
    location.href = '/?elsewhere';
  });
  const [event] = await collector.arrived('Left');
  assert.equal(event.properties.text, 'é & + %');
  const [request] = collector.requests.slice(count);
  assert.deepEqual([request.method, request.type], ['POST', 'application/x-www-form-urlencoded']);
  await elsewhere(page);
});

test('a closed tab sends what is queued', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  await page.evaluate(() => window.r.track('Left'));
  await page.close({ runBeforeUnload: true });
  await collector.arrived('Left');
});

test('a browser without `keepalive` leaves the rest to the next page, and sends no cookies with it', async (t) => {
  const { collector, context, open } = await world.person(t);
  // As Firefox before 133, which lets nothing but a beacon outlive its page.
  await context.addInitScript(() => {
    delete Request.prototype.keepalive;
    const whole = window.fetch;
    window.fetch = (address, options) => (options?.keepalive && window.left ? new Promise(() => {}) : whole(address, options));
    navigator.sendBeacon = () => (localStorage.beacon = 'sent');
  });
  const page = await quietPage(collector, open);
  await page.evaluate(() => window.r.track('Left'));
  await page.evaluate(() => (window.left = true));
  await page.goto(world.site.url + '?elsewhere');
  assert.equal(await page.evaluate(() => localStorage.beacon), undefined);
  await start(page, collector, SLOW);
  await collector.arrived('Left');
});

// After a quiet interval a record is due at once, in a page that cannot wait for a lock any more.
const DUE = { ...SLOW, flushInterval: 1 };
for (const [type, options] of [['pagehide', SLOW], ['pagehide', DUE], ['visibilitychange', SLOW], ['unload', SLOW]]) {
  const when = options === DUE ? ', at once' : '';
  test(`what a later listener for ${type} records leaves as well${when}, and is stored until it is answered`, async (t) => {
    const { collector, open } = await world.person(t);
    const page = await quietPage(collector, open, options);
    collector.answers.push(() => {});
    await page.evaluate((type) => {
      const target = type === 'visibilitychange' ? document : window;
      target.addEventListener(type, () => window.r.track('Late'));
    }, type);
    await page.goto(world.site.url + '?elsewhere');
    await collector.arrived('Late');
    assert.ok(Object.values((await kept(page)).local).some((value) => value.includes('Late')));
  });
}

test('what was sent on leaving is sent again with the same id, and only once', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  // In the same task as the reload, so that nothing but `pagehide` can have written it down.
  leave(page, () => {
    window.r.track('Left');
    location.reload();
  });
  await collector.arrived('Left');
  await page.waitForFunction(() => !window.r);
  await start(page, collector, SLOW);
  await collector.arrived('Left', 2);
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  const ids = collector.named('Left').map((event) => event.properties.$insert_id);
  assert.deepEqual([ids.length, new Set(ids).size], [2, 1]);
  assert.equal(await page.evaluate(() => window.r.stats().recovered), 1);
  await page.waitForFunction(() => !Object.keys(localStorage).some((key) => key.includes(':q:')));
});

test('a page that is left with much in its queue sends what fits, and keeps it all until it is answered', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  // This one is never answered.
  collector.answers.push(() => {});
  await page.evaluate(() => {
    for (let n = 0; n < 400; n++) window.r.track('Many', { n, text: 'x'.repeat(200) });
  });
  await collector.arrived('Many', 50);
  await page.waitForFunction(() => Object.keys(localStorage).filter((key) => key.includes(':q:')).length === 400);
  await page.goto(world.site.url + '?elsewhere');
  await collector.arrived('Many', 51);
  const last = collector.tracks().at(-1);
  assert.equal(last.type, 'application/x-www-form-urlencoded');
  assert.equal(last.events[0].properties.n, 50);
  assert.ok(last.text.length < 64 << 10);
  assert.equal(Object.keys((await kept(page)).local).filter((key) => key.includes(':q:')).length, 400);
});

test('a leaving page obeys a refusal that the mirror already shows', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  const count = collector.requests.length;
  leave(page, (url) => {
    window.r.track('Left');
    const record = JSON.parse(localStorage['refrain:T:consent']);
    const refusal = { ...record, decision: 'denied', revision: record.revision + 1, epoch: record.epoch + 1 };
    localStorage['refrain:T:consent'] = JSON.stringify(refusal);
    addEventListener('pagehide', () => fetch(url + '/left', { method: 'POST', keepalive: true }));
    location.href = '/?elsewhere';
  }, collector.url);
  await collector.until('the last request', () => collector.requests.some(({ path }) => path === '/left'));
  assert.deepEqual(collector.requests.slice(count).filter(({ path }) => path === '/track/'), []);
  await elsewhere(page);
});

/** Leaves a page and comes back to it, as it was, after `work`; one that is kept is never loaded again. */
const thereAndBack = async (page, work = () => {}) => {
  await page.evaluate(() => addEventListener('pageshow', ({ persisted }) => (window.persisted = persisted)));
  await page.goto(world.site.url + '?elsewhere');
  await work();
  await page.goBack({ waitUntil: 'commit' });
  await page.waitForFunction(() => window.persisted);
};

test('a page that comes back from the back/forward cache has heard of a refusal', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  await thereAndBack(page, async () => {
    const other = await open(SLOW);
    await other.evaluate(() => window.r.optOut());
  });
  await page.waitForFunction(() => window.r.consent().verdict === 'deny');
  assert.equal(await page.evaluate(() => window.r.track('Back').rejected), 'denied');
});

test('C7 a page that comes back from the back/forward cache acts on a refusal that no client has heard', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  await page.evaluate(() => addEventListener('pageshow', () => (window.back = window.r.track('Back').rejected)));
  // What a page leaves whose module never came.
  await thereAndBack(page, () => page.evaluate(() => (localStorage['refrain:T:no'] = '24')));
  assert.equal(await page.evaluate(() => window.back), 'denied');
  await page.waitForFunction(() => !('refrain:T:no' in localStorage));
});

test('a page that comes back from the back/forward cache goes on', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open, { ...SLOW, flushInterval: 50 });
  await thereAndBack(page);
  await page.evaluate(() => window.r.track('Back'));
  await collector.arrived('Back');
});

test('C9 what a page records as it comes back from the back/forward cache is of whoever is there by then', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open, { ...SLOW, flushInterval: 50 });
  await page.evaluate(() => {
    // The read that the page begins with is the last one to end.
    const get = IDBObjectStore.prototype.get;
    let first = true;
    addEventListener('pageshow', ({ persisted }) => persisted && window.r.track('Back'));
    IDBObjectStore.prototype.get = function (key) {
      if (key !== 'identity' || !window.persisted || !first) return get.call(this, key);
      first = false;
      for (let n = 0; n < 500; n++) get.call(this, 'nothing');
      return get.call(this, key);
    };
  });
  let user;
  await thereAndBack(page, async () => {
    const other = await open(SLOW);
    await other.evaluate(async () => {
      window.r.switchUser('u2');
      await window.r.flush();
    });
    user = await other.evaluate(() => window.r.deviceId());
  });
  const [back] = await collector.arrived('Back');
  assert.deepEqual([back.properties.$user_id, back.properties.$device_id], ['u2', user]);
});

test('what another tab has sent while a page was frozen is not sent again by it', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  // The request of the page that is left is never answered.
  collector.answers.push(() => {});
  await page.evaluate(() => {
    window.r.track('Frozen');
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
  });
  await collector.arrived('Frozen');
  const other = await open({ defaultConsent: 'granted' });
  await collector.arrived('Frozen', 2);
  await other.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await page.waitForFunction(() => window.r.stats().givenUp === 1);
  await page.evaluate(() => {
    window.r.track('Later');
    return window.r.flush();
  });
  await collector.arrived('Later');
  assert.equal(collector.events().filter(({ event }) => event === 'Frozen').length, 2);
  const { tracked, delivered, queued, givenUp } = await page.evaluate(() => window.r.stats());
  assert.deepEqual({ tracked, delivered, queued, givenUp }, { tracked: 3, delivered: 2, queued: 0, givenUp: 1 });
});

test('what nobody else has taken is sent by the page when it comes back, once', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  collector.answers.push((_, response) => response.writeHead(503).end());
  await page.evaluate(() => {
    window.r.track('Frozen');
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
  });
  await collector.arrived('Frozen');
  await page.waitForFunction(() => window.r.stats().recovered === 1);
  await page.evaluate(() => window.r.flush());
  await collector.arrived('Frozen', 2);
  await page.waitForFunction(() => window.r.stats().queued === 0);
  const { tracked, recovered, delivered, givenUp } = await page.evaluate(() => window.r.stats());
  assert.deepEqual({ tracked, recovered, delivered, givenUp }, { tracked: 2, recovered: 1, delivered: 2, givenUp: 1 });
});

test('a page whose storage was emptied, as when a user logs out, sends what it has when it is left', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  await page.evaluate(() => (localStorage.clear(), window.r.track('Emptied')));
  await page.waitForFunction(() => 'refrain:T:consent' in localStorage);
  leave(page, () => {
    window.r.track('Left');
    location.href = '/?elsewhere';
  });
  await collector.arrived('Left');
  await elsewhere(page);
});

test('what is recorded of somebody who is not yet written down is stored when the page is left', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  const stored = await page.evaluate(() => {
    window.r.identify('ada');
    window.r.track('Left');
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
    return Object.entries(localStorage).filter(([key]) => key.includes(':q:')).sort().map(([, value]) => value);
  });
  assert.deepEqual(stored.map((value) => /"event":"([^"]+)"/.exec(value)[1]), ['$identify', 'Left']);
});

test('a page that is left asks for no lock when it goes out of view', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await quietPage(collector, open);
  const locks = await page.evaluate(() => {
    // More than may leave at once.
    for (let n = 0; n < 40; n++) window.r.track('Many', { n, text: 'x'.repeat(2_000) });
    Object.defineProperty(document, 'hidden', { get: () => true });
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
    const locks = [];
    LockManager.prototype.request = (name) => (locks.push(name), Promise.reject(Error('frozen')));
    document.dispatchEvent(new Event('visibilitychange'));
    return locks;
  });
  assert.deepEqual(locks, []);
});

test('a page that nobody sees yet starts when somebody does', async (t) => {
  const { collector, context, open } = await world.person(t);
  const asked = [];
  context.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const page = await open();
  await page.evaluate(() => Object.defineProperty(document, 'prerendering', { value: true, configurable: true }));
  assert.equal(await start(page, collector, { defaultConsent: 'granted', early: 'Prerendered' }), 'held');
  await page.evaluate((url) => import('/dist/client.js').then(() => fetch(url + '/marker')), collector.url);
  assert.deepEqual([collector.tracks(), asked.filter((path) => path.endsWith('.wasm'))], [[], []]);
  await page.evaluate(() => document.dispatchEvent(new Event('prerenderingchange')));
  await collector.arrived('Prerendered');
});
