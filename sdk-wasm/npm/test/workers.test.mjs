// The package in a worker, which has no page, no `localStorage` and no end that anybody announces.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { kept, NOTHING, startWorld } from './support/browser.mjs';

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

/** Starts a client in a worker of the page, and gives out what makes it do something. */
const startWorker = async (page, collector, options) => {
  await page.evaluate(
    ([url, token, options]) => {
      const script = `
        import { init } from ${JSON.stringify(url)};
        self.window = self;
        onmessage = async ({ data: [id, work] }) => {
          try {
            postMessage([id, await (0, eval)('(' + work + ')')()]);
          } catch (error) {
            postMessage([id, undefined, '' + error]);
          }
        };
        self.r = init(${JSON.stringify(token)}, ${JSON.stringify(options)});`;
      const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' });
      let last = 0;
      window.inWorker = (work) =>
        new Promise((done, fail) => {
          const id = ++last;
          worker.addEventListener('message', ({ data: [of, value, error] }) => {
            if (of === id) error ? fail(Error(error)) : done(value);
          });
          worker.onerror = ({ message }) => fail(Error(message));
          worker.postMessage([id, work]);
        });
    },
    [world.site.url + 'dist/index.js', 'T', { endpoint: collector.url, flushInterval: 50, ...options }],
  );
  const evaluate = (work) => page.evaluate((work) => window.inWorker(work), `${work}`);
  await evaluate(() => r.ready);
  return { evaluate };
};

test('C9 a worker and a page share choice and identity', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({});
  const worker = await startWorker(page, collector);
  assert.deepEqual(await worker.evaluate(() => [r.consent().verdict, r.track('From the worker')]), ['hold', 'held']);
  await page.evaluate(() => window.r.optIn());
  const [event] = await collector.arrived('From the worker');
  assert.equal(event.properties.$device_id, await page.evaluate(() => window.r.deviceId()));
  await worker.evaluate(() => (r.identify('ada'), r.flush()));
  await page.waitForFunction(() => window.r.distinctId() === 'ada');
  await worker.evaluate(() => r.optOut({ erase: true }));
  assert.equal(await page.evaluate(() => window.r.track('After').rejected), 'denied');
  assert.deepEqual(await worker.evaluate(async () => (await r.audit()).items), ['indexedDB refrain:T consent']);
  const { local, session, databases } = await kept(page);
  assert.deepEqual([Object.keys(session), Object.keys(databases['refrain:T'])], [[], ['consent']]);
  assert.deepEqual(Object.keys(local).filter((key) => key !== 'refrain:T:consent'), []);
  assert.deepEqual(collector.named('After'), []);
});

test('C5 C6 what a worker has when another page refuses is never sent', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const worker = await startWorker(page, collector, { defaultConsent: 'granted', flushInterval: 3_600_000 });
  await worker.evaluate(() => (r.track('First'), r.flush()));
  await collector.arrived('First');
  assert.equal(await worker.evaluate(() => r.track('Queued')), 'accepted');
  await page.evaluate(() => window.r.optOut());
  const seen = await worker.evaluate(async () => {
    await r.flush();
    return [r.track('E').rejected, r.stats().queued, r.stats().dropped.withdrawn];
  });
  assert.deepEqual(seen, ['denied', 0, 1]);
  await page.evaluate(() => window.r.optIn());
  await worker.evaluate(async () => {
    for (const end = Date.now() + 60_000; r.track('Again').rejected; ) {
      if (Date.now() > end) throw Error('the worker does not hear of the grant');
      await new Promise((done) => setTimeout(done, 10));
    }
    await r.flush();
  });
  await collector.arrived('Again');
  assert.deepEqual(collector.named('Queued'), []);
});

test('C3 a worker alone writes nothing before a decision, and only records after it', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const worker = await startWorker(page, collector);
  await worker.evaluate(() => (r.track('Held'), r.register({ plan: 'pro' }), r.flush()));
  assert.deepEqual(await kept(page), NOTHING);
  await worker.evaluate(() => r.optIn());
  await collector.arrived('Held');
  const { local, session, cookies, databases } = await kept(page);
  assert.deepEqual([local, session, cookies, Object.keys(databases)], [{}, {}, '', ['refrain:T']]);
  // A page that comes later, which finds no mirror.
  const later = await open({});
  assert.equal(await later.evaluate(() => window.r.consent().verdict), 'allow');
});

test('C1 signals that a browser does not show to workers can be passed on', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open();
  const worker = await startWorker(page, collector, { defaultConsent: 'granted', signals: { dnt: true } });
  assert.equal(await worker.evaluate(() => r.consent().reason), 'dnt');
  await worker.evaluate(() => r.signals({}));
  assert.equal(await worker.evaluate(() => r.track('E')), 'accepted');
  assert.match(await worker.evaluate(() => r.signals({ host: 1 }).catch((error) => error.message)), /host must be/);
  await worker.evaluate(() => r.signals({ host: true }));
  assert.deepEqual(await worker.evaluate(() => [r.consent().reason, r.track('E').rejected]), ['host', 'denied']);
});

test('a service worker, which has one file and no `import()`, obeys the same record', async (t) => {
  const { collector, context, open } = await world.person(t);
  const entry = fileURLToPath(new URL('../dist/index.js', import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'iife', globalName: 'refrain', write: false, logLevel: 'silent' });
  const options = { endpoint: collector.url, wasmUrl: '/dist/refrain_wasm_bg.wasm', flushInterval: 50 };
  world.site.scripts['service.js'] = `${outputFiles[0].text}; self.r = refrain.init('T', ${JSON.stringify(options)});`;
  const page = await open({});
  const started = context.waitForEvent('serviceworker');
  await page.evaluate(() => navigator.serviceWorker.register('/service.js'));
  const worker = await started;
  assert.deepEqual(await worker.evaluate(() => r.ready.then(() => [r.consent().verdict, r.track('In the background')])), ['hold', 'held']);
  await page.evaluate(() => window.r.optIn());
  const [event] = await collector.arrived('In the background');
  assert.equal(event.properties.$device_id, await page.evaluate(() => window.r.deviceId()));
  await worker.evaluate(() => r.optOut());
  assert.equal(await page.evaluate(() => window.r.track('After').rejected), 'denied');
  assert.deepEqual(await worker.evaluate(async () => (await r.audit()).items), ['indexedDB refrain:T consent']);
});

test('C9 an agreement in a worker ends a refusal of before, in pages and in those that are opened later', async (t) => {
  const { collector, open } = await world.person(t);
  const page = await open({ defaultConsent: 'granted' });
  const worker = await startWorker(page, collector);
  for (const there of [true, false]) {
    await page.evaluate(() => window.r.optOut());
    const other = there ? page : await open();
    if (!there) await page.goto(world.site.url + '?elsewhere');
    const agreeing = there ? worker : await startWorker(other, collector);
    await agreeing.evaluate(() => r.optIn());
    const device = await agreeing.evaluate(() => r.deviceId());
    if (there) await page.waitForFunction(() => window.r.consent().verdict === 'allow');
    const later = await open({});
    assert.deepEqual(await later.evaluate(() => [window.r.consent().verdict, window.r.deviceId()]), ['allow', device]);
    await later.close();
  }
});
