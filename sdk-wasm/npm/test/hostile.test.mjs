import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { frameWithoutOrigin, kept, start, startWorld } from './support/browser.mjs';
import { nobody } from './support/nobody.mjs';

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

/** A page of a browser in which storing is forbidden. */
const FORBIDDEN = () => {
  const refuse = { get: () => { throw new DOMException('Access is denied for this document.', 'SecurityError'); } };
  for (const name of ['localStorage', 'sessionStorage', 'indexedDB', 'BroadcastChannel']) Object.defineProperty(window, name, refuse);
};

/** Remembers what fails in a page without anybody who has asked for it. */
const WATCHED = () => {
  window.faults = [];
  addEventListener('unhandledrejection', ({ reason }) => window.faults.push(`${reason}`));
  addEventListener('error', ({ message }) => window.faults.push(message));
};

for (const [where, forbidden] of [
  ['in a browser that forbids it', async ({ collector, context, open }) => {
    await context.addInitScript(FORBIDDEN);
    await context.addInitScript(WATCHED);
    return open({ defaultConsent: 'granted' });
  }],
  ['in a frame without an origin', async ({ collector, open }) => {
    const page = await open();
    const frame = await frameWithoutOrigin(page);
    await frame.evaluate(WATCHED);
    await start(frame, collector, { defaultConsent: 'granted' });
    return frame;
  }],
]) {
  test(`C8 without storage nothing is collected until the person decides, and then for the page: ${where}`, async (t) => {
    const person = await world.person(t);
    const { collector } = person;
    const page = await forbidden(person);
    const before = await page.evaluate(() => [window.r.consent().reason, window.r.track('E').rejected]);
    assert.deepEqual(before, ['store_unavailable', 'denied']);
    await page.evaluate(async () => {
      await window.r.optIn();
      window.r.track('Allowed');
    });
    await collector.arrived('Allowed');
    await page.evaluate(() => window.r.flush());
    const { items } = await page.evaluate(() => window.r.audit());
    assert.deepEqual(items, ['indexedDB refrain:T consent (unreadable)', 'indexedDB refrain:T identity (unreadable)']);

    // As it comes back from the back/forward cache.
    await page.evaluate(() => {
      dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
      dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
      window.r.track('Back');
    });
    await collector.arrived('Back');

    // And as it is left.
    await page.evaluate(async () => {
      await window.r.flush();
      // The first one after quiet leaves at once.
      window.r.track('First');
      window.r.track('Left');
      dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
    });
    await collector.arrived('Left');
    assert.equal(collector.requests.find(({ text }) => text.includes('"Left"')).type, 'application/x-www-form-urlencoded');
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));

    const [code, message] = await page.evaluate(() => window.r.optOut().then(() => [], (error) => [error.code, error.message]));
    assert.equal(code, 'not_recorded');
    assert.match(message, /^not_recorded: /);
    assert.deepEqual(await page.evaluate(() => window.faults), [], 'nothing that the app has not asked for fails');
    const after = await page.evaluate(async (url) => {
      const result = window.r.track('E').rejected;
      await window.r.flush();
      await fetch(url + '/marker');
      return [result, window.r.consent().verdict];
    }, collector.url);
    assert.deepEqual(after, ['denied', 'deny']);
    assert.deepEqual(collector.named('E'), []);
  });
}

/** In the page: no queue finds room any more. */
const fill = () => {
  const whole = Storage.prototype.setItem;
  Storage.prototype.setItem = function (key, value) {
    if (key.includes(':q:')) throw new DOMException('full', 'QuotaExceededError');
    whole.call(this, key, value);
  };
};

test('a full storage keeps events in memory', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  await page.evaluate(fill);
  const said = page.waitForEvent('console');
  await start(page, collector, { defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Kept'));
  await collector.arrived('Kept');
  assert.match((await said).text(), /^refrain: store_full: events are kept in memory at most/);
});

test('a console that throws stops nothing', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  await page.evaluate(fill);
  await page.evaluate(() => {
    console.warn = () => {
      window.warned = true;
      throw Error('no console');
    };
  });
  await start(page, collector, { defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Kept'));
  await page.waitForFunction(() => window.warned);
  await page.evaluate(() => void window.r.optOut().then(() => (window.done = true)));
  await page.waitForFunction(() => window.done);
});

for (const [what, damage] of [
  ['record', async (page) => {
    await page.evaluate(
      () =>
        new Promise((done, fail) => {
          const request = indexedDB.open('refrain:T');
          request.onsuccess = () => {
            const transaction = request.result.transaction('records', 'readwrite');
            transaction.objectStore('records').put('{"v":1,"decision"', 'consent');
            transaction.oncomplete = () => done(request.result.close());
            transaction.onabort = fail;
          };
        }),
    );
  }],
  ['mirror', (page) => page.evaluate(() => void (localStorage['refrain:T:consent'] = 'gran'))],
]) {
  test(`C8 a damaged consent ${what} is a "no" until the person decides`, async (t) => {
    const { collector, open } = await world.person(t);
    const page = await open({ defaultConsent: 'granted' });
    await page.evaluate(() => window.r.track('First'));
    await collector.arrived('First');
    await page.goto(world.site.url + '?elsewhere');
    await damage(page);
    await start(page, collector, { defaultConsent: 'granted' });
    const consent = await page.evaluate(() => [window.r.consent().reason, window.r.track('E').rejected]);
    assert.deepEqual(consent, ['store_unavailable', 'denied']);

    await page.evaluate(() => window.r.optOut());
    await page.reload();
    await start(page, collector, { defaultConsent: 'granted' });
    assert.equal(await page.evaluate(() => window.r.consent().reason), 'person');
    const { local, databases } = await kept(page);
    assert.deepEqual([Object.keys(local), Object.keys(databases['refrain:T'])], [['refrain:T:consent'], ['consent']]);
    assert.deepEqual(collector.named('E'), []);
  });
}

test('C5 where record and mirror differ, the refusal wins', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  await page.goto(world.site.url + '?elsewhere');
  await page.evaluate(() => {
    const record = JSON.parse(localStorage['refrain:T:consent']);
    localStorage['refrain:T:consent'] = JSON.stringify({ ...record, decision: 'denied' });
  });
  await start(page, collector, { defaultConsent: 'granted' });
  assert.equal(await page.evaluate(() => window.r.consent().reason), 'person');
  // And the person can still change their mind.
  await page.evaluate(() => window.r.optIn());
  assert.equal(await page.evaluate(() => window.r.consent().verdict), 'allow');
  await page.reload();
  await start(page, collector, { defaultConsent: 'granted' });
  assert.equal(await page.evaluate(() => window.r.consent().verdict), 'allow');
});

test('C8 data without a record is wiped', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  await page.evaluate(() => (localStorage['refrain:T:q:gone:1'] = '1|{"event":"Orphan","properties":{"token":"T"}}'));
  await start(page, collector, { defaultConsent: 'pending' });
  assert.equal(await page.evaluate(() => window.r.consent().verdict), 'hold');
  await page.waitForFunction(() => localStorage.length === 0);
  assert.equal((await page.evaluate(() => window.r.stats())).wiped, 1);
});

test('a damaged event is counted and does not poison the rest', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  await page.goto(world.site.url + '?elsewhere');
  await page.evaluate(() => {
    const { epoch } = JSON.parse(localStorage['refrain:T:consent']);
    localStorage['refrain:T:q:gone:1'] = epoch + '|{"event":"Torn","prop';
    localStorage['refrain:T:q:gone:2'] = epoch + '|{"event":"Whole","properties":{"token":"T"}}';
    localStorage['refrain:T:q:gone:3'] = epoch + 7 + '|{"event":"Other epoch","properties":{"token":"T"}}';
  });
  await start(page, collector, { defaultConsent: 'granted' });
  await collector.arrived('Whole');
  const stats = await page.evaluate(() => window.r.stats());
  assert.deepEqual([stats.adopted, stats.damaged, stats.wiped], [1, 1, 1]);
  assert.deepEqual(collector.named('Other epoch'), []);
});

test('without Web Locks a page takes over its own queue only', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(() => Object.defineProperty(navigator, 'locks', { value: undefined }));
  const options = { defaultConsent: 'granted', flushInterval: 3_600_000 };
  const page = await open(options);
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => window.r.track('Mine'));
  await page.waitForFunction(() => Object.values(localStorage).some((value) => value.includes('Mine')));
  const other = await open(options);
  assert.equal((await other.evaluate(() => window.r.stats())).adopted, 0);
  await page.reload();
  await start(page, collector, options);
  assert.equal((await page.evaluate(() => window.r.stats())).recovered, 1);
  await page.evaluate(() => window.r.optOut());
  assert.equal(await page.evaluate(() => window.r.consent().verdict), 'deny');
  await other.waitForFunction(() => window.r.consent().verdict === 'deny');
});

test('without Web Locks two clients of a page have a queue each, also after a reload', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(() => Object.defineProperty(navigator, 'locks', { value: undefined }));
  const page = await open({ defaultConsent: 'granted' });
  // A collector that does not answer: what is recorded stays.
  const options = { endpoint: await nobody(), defaultConsent: 'granted', flushInterval: 3_600_000 };
  const startTwo = () =>
    page.evaluate(async (options) => {
      const { init } = await import('/dist/index.js');
      window.two = [init('T', options), init('T', options)];
      for (const { ready } of window.two) await ready;
    }, options);
  const stored = () => page.evaluate(() => Object.values(localStorage).map((text) => /"event":"(\w+)"/.exec(text)?.[1]).filter(Boolean).sort());
  await page.evaluate(() => window.r.shutdown());
  await startTwo();
  await page.evaluate(() => window.two.forEach((r) => r.track('Left')));
  await page.waitForFunction(() => window.two.every((r) => r.stats().queued === 1));
  await page.reload();
  await startTwo();
  const recovered = () => page.evaluate(() => window.two.map((r) => r.stats().recovered));
  assert.equal((await recovered()).reduce((sum, n) => sum + n), 1);
  await page.evaluate(() => window.two.forEach((r, at) => r.track(['One', 'Other'][at])));
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
  assert.deepEqual((await stored()).filter((name) => name !== 'Left'), ['One', 'Other']);
});

test('a setting that cannot work, or a module that does not load, is said by `ready`, and nothing throws', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(WATCHED);
  for (const [options, word] of [
    [{ defaultConsent: 'yes' }, 'defaultConsent'],
    [{ token: '' }, 'token'],
    [{ token: 7 }, 'token must be a text'],
    [{ token: 'T\ud800' }, 'token must be a text'],
    [{ endpoint: 7 }, 'endpoint must be a text'],
    [{ endpoint: 'localhost:8787' }, 'endpoint must be an address'],
    [{ wasmUrl: '/nothing.wasm' }, 'WebAssembly'],
  ]) {
    const page = await open();
    const said = page.waitForEvent('console', (message) => message.text().startsWith('refrain: '));
    assert.equal(await start(page, collector, { ...options, early: 'E' }), 'held');
    const seen = await page.evaluate(async () => {
      const { r } = window;
      r.optIn();
      const error = await r.ready.catch((error) => '' + error);
      const { verdict, reason } = r.consent();
      return [error, r.track('E').rejected, await r.optOut().catch((error) => error.message), r.consent().verdict, verdict, reason];
    });
    // A page that waits for these before it goes on goes on, whatever a blocker keeps from it.
    assert.deepEqual(await page.evaluate(async () => [await r.flush(), await r.flush(0), (await r.shutdown(), 'ended')]), [false, false, 'ended']);
    assert.deepEqual(await page.evaluate(() => window.faults), []);
    assert.ok((await said).text().includes(word));
    assert.deepEqual(seen.slice(4), ['deny', 'not_loaded']);
    assert.ok(seen[0].includes(word), seen[0]);
    assert.equal(seen[1], 'not_loaded');
    assert.ok(seen[2].includes(word));
    assert.equal(seen[3], 'deny');
  }
});

test('the options are those of the call, whatever becomes of the object', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(WATCHED);
  const page = await open();
  const seen = await page.evaluate(async (endpoint) => {
    const { init } = await import('/dist/index.js');
    const options = { endpoint, defaultConsent: 'pending', flushInterval: 1 };
    const first = init('A', options);
    Object.assign(options, { endpoint: 'https://elsewhere.invalid', defaultConsent: 'granted' });
    window.first = first;
    await Promise.all([first.ready, init('B', options).ready]);
    const verdict = first.consent().verdict;
    await first.optIn();
    first.track('Mine');
    return verdict;
  }, collector.url);
  assert.equal(seen, 'hold');
  const [event] = await collector.arrived('Mine');
  assert.equal(event.properties.token, 'A');
});

test('options that cannot even be read are said by `ready`', async (t) => {
  const { context, open } = await world.person(t);
  await context.addInitScript(WATCHED);
  const page = await open();
  const errors = await page.evaluate(async () => {
    const { init } = await import('/dist/index.js');
    const broken = { get endpoint() { throw Error('no endpoint today'); } };
    return Promise.all([null, broken].map((options) => init('T', options).ready.then(() => 'none', (error) => error.message)));
  });
  assert.match(errors[0], /null/);
  assert.equal(errors[1], 'no endpoint today');
  assert.deepEqual(await page.evaluate(() => window.faults), []);
});

test('what an old library has put into every object is no option', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(() => {
    Object.prototype.each = function () {};
  });
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Mixed', { n: 1 }));
  const [{ properties }] = await collector.arrived('Mixed');
  assert.equal(properties.n, 1);
});

test('an error of a call whose end nobody waits for is none of the page', async (t) => {
  const { context, open } = await world.person(t);
  await context.addInitScript(WATCHED);
  const page = await open({ defaultConsent: 'granted' });
  const seen = await page.evaluate(async () => {
    const { r } = window;
    const told = (promise) => promise.then(() => 'done', (error) => error.message);
    r.signals({ dnt: 1 });
    r.optOut({ unknown: 1 });
    // Who looks is told, as before; and this ends after those.
    return [await told(r.signals({ dnt: 1 })), await told(r.optOut({ unknown: 1 }))];
  });
  assert.match(seen[0], /^dnt must be/);
  assert.match(seen[1], /^unknown_option: /);
  // What nobody has looked at is told in a task of its own.
  assert.deepEqual(await page.evaluate(() => new Promise((done) => setTimeout(() => done(window.faults)))), []);
});

test('bundled into one script, which has no address, it takes its module as `wasm`', async (t) => {
  const { collector, open } = await world.person(t);
  const entry = fileURLToPath(new URL('../dist/index.js', import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'iife', globalName: 'refrain', write: false, logLevel: 'silent' });
  const page = await open();
  await page.addScriptTag({ content: outputFiles[0].text });
  await page.evaluate(async (endpoint) => {
    const wasm = await WebAssembly.compileStreaming(fetch('/dist/refrain_wasm_bg.wasm'));
    window.r = refrain.init('T', { endpoint, wasm, defaultConsent: 'granted' });
    window.r.track('Bundled');
    await window.r.ready;
  }, collector.url);
  await collector.arrived('Bundled');
});

test('a Content Security Policy as the README has it is enough', async (t) => {
  const { collector, context } = await world.person(t);
  const page = await context.newPage();
  const policy = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ${collector.url}`;
  await page.goto(world.site.url + '?policy=' + encodeURIComponent(policy));
  await start(page, collector, { defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Strict'));
  await collector.arrived('Strict');
});

/** A client in a page whose policy forbids WebAssembly. */
const withoutAssembly = async ({ collector, context }, options) => {
  const page = await context.newPage();
  const policy = `default-src 'none'; script-src 'self'; connect-src 'self' ${collector.url}`;
  await page.goto(world.site.url + '?policy=' + encodeURIComponent(policy));
  await start(page, collector, options);
  return page;
};

test('a page that forbids WebAssembly gets the same as JavaScript', async (t) => {
  const person = await world.person(t);
  const { collector } = person;
  const asked = [];
  person.context.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const page = await withoutAssembly(person, {});
  assert.deepEqual(asked.filter((path) => /plain|wasm/.test(path)), ['/dist/plain.js']);
  const held = await page.evaluate(() => [window.r.consent().verdict, window.r.track('Held', { n: 1.5, text: 'é\u{1f600}' })]);
  assert.deepEqual(held, ['hold', 'held']);
  await page.evaluate(() => window.r.optIn());
  const [event] = await collector.arrived('Held');
  assert.deepEqual([event.properties.n, event.properties.text], [1.5, 'é\u{1f600}']);
  // More than its memory has at first, by far.
  const books = await page.evaluate(async () => {
    const text = 'x'.repeat(20_000);
    for (let at = 0; at < 40; at++) window.r.track('Large', { at, text });
    await window.r.flush();
    return window.r.stats();
  });
  const large = await collector.arrived('Large', 40);
  assert.deepEqual(large.map(({ properties }) => [properties.at, properties.text.length]), [...Array(40).keys()].map((at) => [at, 20_000]));
  assert.equal(books.delivered, books.tracked);
  await page.evaluate(() => window.r.optOut({ erase: true }));
  assert.equal(await page.evaluate(() => window.r.track('After').rejected), 'denied');
  const { local, databases } = await kept(page);
  assert.deepEqual([Object.keys(local), Object.keys(databases['refrain:T'])], [['refrain:T:consent'], ['consent']]);
});

test('a browser that makes no larger instance at once gets it, too', async (t) => {
  const { collector, context, open } = await world.person(t);
  // As Chromium before 115.
  await context.addInitScript(() => {
    const small = new WeakSet();
    const { Module, Instance } = WebAssembly;
    WebAssembly.Module = function (bytes) {
      if (bytes.byteLength > 4_096) throw RangeError('WebAssembly.Compile is disallowed on the main thread');
      const module = new Module(bytes);
      small.add(module);
      return module;
    };
    WebAssembly.Instance = function (module, imports) {
      if (!small.has(module)) throw RangeError('WebAssembly.Instance is disallowed on the main thread');
      return new Instance(module, imports);
    };
  });
  const page = await open({ defaultConsent: 'granted' });
  await page.evaluate(() => window.r.track('Old'));
  await collector.arrived('Old');
});

test('both kinds of pages of one site obey the same record', async (t) => {
  const person = await world.person(t);
  const plain = await withoutAssembly(person, { defaultConsent: 'granted' });
  const usual = await person.open({ defaultConsent: 'granted' });
  const device = (page) => page.evaluate(() => (window.r.track('E'), window.r.deviceId()));
  assert.equal(await device(plain), await device(usual));
  await plain.evaluate(() => window.r.optOut());
  await usual.waitForFunction(() => window.r.consent().verdict === 'deny');
});

test('without an endpoint the page\'s own origin is asked, wherever a `<base>` points', async (t) => {
  const { open } = await world.person(t);
  const page = await open();
  const asked = page.waitForRequest((request) => request.url().includes('/track/'));
  await page.evaluate(async () => {
    const { init } = await import('/dist/index.js');
    document.head.innerHTML = '<base href="https://elsewhere.invalid/">';
    window.init = init;
    const r = init('T', { defaultConsent: 'granted' });
    r.track('E');
  });
  assert.equal((await asked).url(), world.site.url + 'track/?verbose=1&ip=0');
  for (const [endpoint, path] of [['', ''], ['/collect/', 'collect/']]) {
    const asked = page.waitForRequest((request) => request.url().includes(path + 'track/'));
    await page.evaluate((endpoint) => {
      const r = window.init('T' + endpoint.length, { endpoint, defaultConsent: 'granted' });
      r.track('E');
    }, endpoint);
    assert.equal((await asked).url(), world.site.url + path + 'track/?verbose=1&ip=0');
  }
});

test('an interval that no timer can wait for is no busy loop', async (t) => {
  const { collector, context, open } = await world.person(t);
  await context.addInitScript(() => {
    const wait = window.setTimeout;
    window.longest = 0;
    window.setTimeout = (done, ms) => {
      window.longest = Math.max(window.longest, ms ?? 0);
      return wait(done, ms);
    };
  });
  const page = await open({ defaultConsent: 'granted', flushInterval: Number.MAX_SAFE_INTEGER });
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => window.r.track('Second'));
  assert.equal(await page.evaluate(() => window.longest), 2 ** 31 - 1);
  // Neither is one for shutting down.
  await page.evaluate(() => window.r.shutdown(Infinity));
  assert.equal(collector.named('Second').length, 1);
});

test('where there is no page it can be imported, and says so', async () => {
  const script = `
    import { init } from '${new URL('../dist/index.js', import.meta.url)}';
    const r = init('T', {});
    const error = await r.ready.catch((error) => error.message);
    console.log(JSON.stringify([error, r.track('E').rejected, r.hasOptedOut()]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  assert.deepEqual(JSON.parse(stdout), ['there is no page here', 'not_loaded', false]);
});
