// A refusal is not lost, whatever happens to the page, to what it stores, or in other tabs.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start, startWorld } from './support/browser.mjs';

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

const GRANTED = { defaultConsent: 'granted' };
const mirrorOf = (page) => page.evaluate(() => JSON.parse(localStorage['refrain:T:consent']));
const deleteDatabase = (page) =>
  page.evaluate(
    () =>
      new Promise((done, fail) => {
        const request = indexedDB.deleteDatabase('refrain:T');
        request.onsuccess = done;
        request.onblocked = request.onerror = fail;
      }),
  );

/** A page in which the person has agreed, and whose first event has arrived. */
const agreed = async ({ collector, open }, options = {}) => {
  const page = await open(options);
  await page.evaluate(async () => {
    await window.r.optIn();
    window.r.track('First');
  });
  await collector.arrived('First');
  return page;
};

/** Opens the page anew: the person has refused, and nothing else is left once it has looked. */
const stillRefused = async (page, collector) => {
  await start(page, collector, GRANTED);
  const stands = await page.evaluate(() => [window.r.consent().decision, window.r.track('After').rejected]);
  assert.deepEqual(stands, ['denied', 'denied']);
  await page.waitForFunction(async () => (await window.r.audit()).items.every((item) => item.endsWith('consent')));
};

for (const [way, leave] of [
  ['reloaded in the same task', () => (window.r.optOut(), location.reload())],
  ['left by the link that refuses', () => {
    const link = Object.assign(document.createElement('a'), { href: location.href, onclick: () => void window.r.optOut() });
    document.body.append(link);
    link.click();
  }],
]) {
  test(`C7 a refusal is written down before its page can be ${way}`, async (t) => {
    const person = await world.person(t);
    const page = await agreed(person);
    const gone = page.waitForNavigation();
    page.evaluate(leave).catch(() => {});
    await gone;
    await stillRefused(page, person.collector);
    assert.deepEqual((await person.collector.arrived('First')).length, 1);
  });
}

/** From now on, pages wait for the module until `come` is called; `come` does not wait for that. */
const withoutModule = async (context) => {
  const asked = [];
  await context.route('**/*.wasm', (route) => void asked.push(route));
  return { come: () => context.unroute('**/*.wasm').then(() => void asked.forEach((route) => route.continue().catch(() => {}))) };
};
const EARLY = { ...GRANTED, early: 'Early' };

test('C7 a refusal that no client has heard, because its page was left before the module came, holds', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const device = await page.evaluate(() => window.r.deviceId());
  const other = await person.open(GRANTED);
  await page.goto(world.site.url + '?elsewhere');
  const module = await withoutModule(person.context);
  await start(page, person.collector, EARLY);
  const gone = page.waitForNavigation();
  page.evaluate(() => (window.r.optOut({ erase: true }), location.reload())).catch(() => {});
  await gone;
  // Another page of the site acts on it at once; where there is none, the next that is opened.
  await other.waitForFunction(() => window.r.consent().decision === 'denied');
  await module.come();
  await stillRefused(page, person.collector);
  await person.collector.until('the erasure', () =>
    person.collector.requests.some(({ path, text }) => path === '/refrain/v1/erasures' && text.includes(device)),
  );
  assert.ok(!(await page.evaluate(() => 'refrain:T:no' in localStorage)));
});

test('C7 a page that is opened next acts on the refusal that no client has heard, and not on an agreement', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  let module = await withoutModule(person.context);
  for (const [choice, decision] of [['optIn', 'granted'], ['optOut', 'denied'], ['optIn', 'denied']]) {
    await page.goto(world.site.url + '?elsewhere');
    await start(page, person.collector, EARLY);
    // Who says it twice takes back nothing of what was wished with the first.
    await page.evaluate((choice) => (window.r[choice]({ erase: true }), void window.r[choice]()), choice);
    await page.goto(world.site.url);
    await module.come();
    await start(page, person.collector, GRANTED);
    await page.waitForFunction((decision) => window.r.consent().decision === decision, decision);
    await page.waitForFunction(() => !('refrain:T:no' in localStorage));
    module = await withoutModule(person.context);
  }
  await person.collector.until('the erasure', () => person.collector.requests.some(({ path }) => path === '/refrain/v1/erasures'));
});

test('C7 what a person says before the module has come is done once, and the last word counts', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  for (const last of ['denied', 'granted']) {
    await page.goto(world.site.url + '?elsewhere');
    const module = await withoutModule(person.context);
    await start(page, person.collector, EARLY);
    const ended = page.evaluate(async (agrees) => {
      const ends = [window.r.optOut({ erase: true })];
      if (agrees) ends.push(window.r.optIn());
      await Promise.all(ends);
      return [window.r.consent().decision, 'refrain:T:no' in localStorage];
    }, last === 'granted');
    await module.come();
    assert.deepEqual(await ended, [last, false]);
  }
  await person.collector.until('the erasure', () => person.collector.requests.some(({ path }) => path === '/refrain/v1/erasures'));
  const { outbox } = await page.evaluate(() => window.r.audit());
  assert.deepEqual(outbox.map(({ kind }) => kind), ['device']);
});

test('C7 what only the mirror holds of a refusal is written into the record, with the erasure it asks for', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const device = await page.evaluate(() => window.r.deviceId());
  const gone = page.waitForNavigation();
  page.evaluate(() => (window.r.optOut({ erase: true }), location.reload())).catch(() => {});
  await gone;
  await stillRefused(page, person.collector);
  await page.waitForFunction(async () => (await window.r.audit()).outbox.length === 1);
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  await stillRefused(page, person.collector);
  await person.collector.until('the erasure', () =>
    person.collector.requests.some(({ path, text }) => path === '/refrain/v1/erasures' && text.includes(device)),
  );
});

test('C4 a tab that was elsewhere while another one withdrew keeps nothing, not even its name', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  await page.goto(world.site.url + '?elsewhere');
  const other = await person.open({});
  await other.evaluate(() => window.r.optOut());
  await stillRefused(page, person.collector);
  assert.deepEqual(await page.evaluate(() => ({ ...sessionStorage })), {});
});

test('C7 a mirror that somebody has deleted is written again, for a page that leaves', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  await page.goto(world.site.url + '?elsewhere');
  await page.evaluate(() => localStorage.clear());
  await start(page, person.collector, { flushInterval: 3_600_000 });
  await page.waitForFunction(() => 'refrain:T:consent' in localStorage);
  assert.equal((await mirrorOf(page)).decision, 'granted');
});

test('C7 a page takes a refusal that was given in a worker into its mirror', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  await page.evaluate(
    ([url, endpoint]) =>
      new Promise((done, fail) => {
        const script = `import { init } from ${JSON.stringify(url)};
          const r = init('T', ${JSON.stringify({ endpoint })});
          r.optOut().then(() => postMessage(''), (error) => postMessage('' + error));`;
        const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' });
        worker.onmessage = ({ data }) => (data ? fail(Error(data)) : done());
      }),
    [world.site.url + 'dist/index.js', person.collector.url],
  );
  await page.waitForFunction(() => JSON.parse(localStorage['refrain:T:consent']).decision === 'denied');
  await page.goto(world.site.url + '?elsewhere');
  await deleteDatabase(page);
  await stillRefused(page, person.collector);
});

test('C4 optOut ends although another tab is stuck with the record, and the refusal is written down', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const other = await person.open();
  await other.evaluate(() => new Promise((held) => void navigator.locks.request('refrain:T:record', () => (held(), new Promise(() => {})))));
  const ended = await page.evaluate(() => window.r.optOut().catch((error) => error.message));
  assert.match(ended, /^not_recorded: /);
  assert.equal((await mirrorOf(page)).decision, 'denied');
  await other.close();
  await page.reload();
  await stillRefused(page, person.collector);
});

test('C4 C8 optOut ends although IndexedDB never answers, and so does the start', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  await page.goto(world.site.url + '?elsewhere');
  await page.evaluate(() => {
    IDBFactory.prototype.open = () => ({});
  });
  assert.equal(await start(page, person.collector, { ...GRANTED, early: 'Early' }), 'held');
  const ended = page.evaluate(() => window.r.optOut().catch((error) => error.message));
  await page.evaluate(() => window.r.ready);
  assert.match(await ended, /^not_recorded: /);
  assert.deepEqual(await page.evaluate(() => [window.r.consent().verdict, window.r.track('E').rejected]), ['deny', 'denied']);
  await page.reload();
  await stillRefused(page, person.collector);
});

test('an objection to a client that was shut down counts from the next one on', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const error = await page.evaluate(async () => {
    await window.r.shutdown();
    return window.r.optOut().then(() => 'done', (error) => error.message);
  });
  assert.match(error, /^closed: /);
  await page.reload();
  await stillRefused(page, person.collector);
});

test('a client that is shut down while it withdraws does both', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const ends = await page.evaluate(async () => {
    const refused = window.r.optOut();
    await window.r.shutdown(100);
    return refused.then(() => 'done', (error) => error.message);
  });
  assert.equal(ends, 'done');
  await page.reload();
  await stillRefused(page, person.collector);
});

test('a choice that a client has no time for any more, because it is being shut down, ends too', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const error = await page.evaluate(async () => {
    const wait = window.setTimeout;
    let timers = 0;
    let choice;
    window.setTimeout = (done, ms) => {
      // The first one is the flush's, the second one that of the rest.
      if (ms > 2_000_000 && ++timers === 2) choice = window.r.optOut();
      return wait(done, ms);
    };
    await window.r.shutdown(3_000_000);
    const never = new Promise((done) => wait(done, 0, 'never'));
    return Promise.race([choice.then(() => 'done', (error) => error.message), never]);
  });
  assert.match(error, /^closed: /);
  await page.reload();
  await stillRefused(page, person.collector);
});

test('C5 C7 a choice that comes into the record late takes no later refusal out of the mirror', async (t) => {
  const { open } = await world.person(t);
  const page = await open({});
  const seen = await page.evaluate(async () => {
    const { put } = IDBObjectStore.prototype;
    let refused;
    IDBObjectStore.prototype.put = function (text, key) {
      if (key === 'consent') refused ??= window.r.optOut();
      return put.call(this, text, key);
    };
    // Others are told of each change right after it was written down.
    const seen = [];
    BroadcastChannel.prototype.postMessage = () => seen.push(JSON.parse(localStorage['refrain:T:consent']).decision);
    await window.r.optIn().catch(() => {});
    await refused;
    return seen;
  });
  assert.deepEqual([...new Set(seen)], ['denied']);
});

test('C5 C7 a choice that comes into the record late takes no refusal of another tab out of the mirror', async (t) => {
  const person = await world.person(t);
  const [page, other] = [await person.open(GRANTED), await person.open(GRANTED)];
  await page.evaluate(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (text, key) {
      const request = put.call(this, text, key);
      // The transaction goes on for as long as something is asked of it.
      const wait = () => void (window.go || Object.assign(this.get('nothing'), { onsuccess: wait }));
      if (key === 'consent') window.writing = wait() ?? true;
      return request;
    };
    window.chosen = window.r.optIn().catch(() => {});
  });
  await page.waitForFunction(() => window.writing);
  const gone = other.waitForURL('**/?elsewhere');
  other.evaluate(() => (void window.r.optOut().catch(() => {}), (location.href = '/?elsewhere'))).catch(() => {});
  await gone;
  assert.equal((await mirrorOf(other)).decision, 'denied');
  const after = await page.evaluate(async () => {
    window.go = true;
    await window.chosen;
    return JSON.parse(localStorage['refrain:T:consent']).decision;
  });
  assert.equal(after, 'denied');
  await page.waitForFunction(() => window.r.consent().decision === 'denied');
  await stillRefused(other, person.collector);
});

test('C7 no agreement of before takes back a refusal that only the mirror holds', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const gone = page.waitForURL('**/?elsewhere');
  page
    .evaluate(() => {
      IDBObjectStore.prototype.put = () => {
        throw Error('the page is gone');
      };
      window.r.optOut().catch(() => {});
      location.href = '/?elsewhere';
    })
    .catch(() => {});
  await gone;
  await page.evaluate(
    () =>
      new Promise((done, fail) => {
        const request = indexedDB.open('refrain:T');
        request.onsuccess = () => {
          const store = request.result.transaction('records', 'readwrite').objectStore('records');
          const read = store.get('consent');
          read.onsuccess = () => {
            const record = JSON.parse(read.result);
            // As an erasure leaves it that has come further, by a worker whose clock is ahead.
            const later = { ...record, decision: 'granted', revision: record.revision + 9, at: record.at + 3_600_000 };
            store.put(JSON.stringify(later), 'consent');
          };
          store.transaction.oncomplete = () => done(request.result.close());
          store.transaction.onabort = fail;
        };
      }),
  );
  await stillRefused(page, person.collector);
});

test('C7 who takes back an objection to a client that was shut down has not objected', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const left = await page.evaluate(async () => {
    await window.r.shutdown();
    await window.r.optOut().catch(() => {});
    await window.r.optIn().catch(() => {});
    return Object.keys(localStorage).filter((key) => key.endsWith(':no'));
  });
  assert.deepEqual(left, []);
});

test('C14 an audit lists a refusal that nobody has acted on yet, and lets go of what it looked at', async (t) => {
  const { open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(() => (localStorage['refrain:T:no'] = '24'));
  const { items } = await page.evaluate(() => window.r.audit());
  assert.ok(items.includes('localStorage refrain:T:no'), `${items}`);
  const open_ = await page.evaluate(async () => {
    delete localStorage['refrain:T:no'];
    await window.r.shutdown();
    let open_ = 0;
    const { open } = IDBFactory.prototype;
    const { close } = IDBDatabase.prototype;
    IDBFactory.prototype.open = function (name) {
      open_++;
      return open.call(this, name);
    };
    IDBDatabase.prototype.close = function () {
      open_--;
      close.call(this);
    };
    await window.r.audit();
    return open_;
  });
  assert.equal(open_, 0);
});

test('C7 a refusal that breaks the client is left for the next one', async (t) => {
  const person = await world.person(t);
  const page = await agreed(person);
  const message = await page.evaluate(() => {
    // As a trap in the module: whatever is told it throws.
    performance.now = () => {
      throw Error('broken');
    };
    return window.r.optOut().catch((error) => error.message);
  });
  assert.equal(message, 'broken');
  await page.reload();
  await stillRefused(page, person.collector);
});

test('C12 a page that is left asks for no deletion beside a tab that does', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(async (url) => {
    const { request } = LockManager.prototype;
    // As if another tab had it for long.
    LockManager.prototype.request = function (name, ...rest) {
      return name.endsWith(':outbox') ? Promise.reject(new DOMException('', 'TimeoutError')) : request.call(this, name, ...rest);
    };
    await window.r.optOut({ deleteProfile: true });
    while (!(await window.r.audit()).outbox.length);
    const { now } = performance;
    performance.now = () => now.call(performance) + 3_600_000;
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
    await fetch(url + '/marker');
  }, collector.url);
  assert.deepEqual(collector.requests.filter(({ path }) => path === '/engage/'), []);
});
