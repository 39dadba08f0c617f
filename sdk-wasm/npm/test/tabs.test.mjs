import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kept, start, startWorld } from './support/browser.mjs';

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

/**
 * Runs in a page: keeps its main thread busy for so long, and until another one has set a cookie, which is all that it can
 * hear of. Records an event every few milliseconds. Says what it has heard of.
 */
const beBusy = ({ ms, until }) => {
  const end = performance.now() + ms;
  let next = 0;
  for (let n = 0; performance.now() < end || !document.cookie.includes(until); ) {
    if (performance.now() < next) continue;
    // Nobody waits for this to pass: it does not come.
    if (performance.now() > end + 20_000) break;
    window.r.track('Busy', { n: n++ });
    next = performance.now() + 5;
  }
  return document.cookie;
};

for (let round = 1; round <= 20; round++) {
  // Most rounds are short; what is proven is the same.
  const ms = round % 5 ? 400 : 2_000;
  // Every other round the tab is in the midst of sending when its long task begins: it has its permit and the lock, and the
  // request has not started. In the others it has nothing in its hands.
  const sending = round % 2 === 0;
  const how = `${round}: ${ms} ms${sending ? ', in the midst of sending' : ''}`;
  test(`C5 a busy tab sends nothing after optOut has ended in another one (${how})`, async (t) => {
    const { collector, open } = await world.person(t);
    const options = { defaultConsent: 'granted', flushInterval: 20, batchSize: 5 };
    const [first, busy] = [await open(options), await open(options)];
    await busy.evaluate(() => window.r.track('Before'));
    for (const page of [first, busy]) await page.evaluate(() => window.r.flush().then(() => window.r.audit()));
    await collector.arrived('Before');

    const running = busy.evaluate(
      async ([source, work, sending, started]) => {
        const beBusy = eval(`(${source})`);
        let end;
        const task = new Promise((done) => (end = done));
        if (sending) {
          // A large request is packed right before it starts: here not before the task is over.
          await new Promise((packs) => {
            const { CompressionStream } = window;
            window.CompressionStream = function (format) {
              const transform = async (chunk, to) => (packs(), await task, to.enqueue(chunk));
              const { writable, readable } = new TransformStream({ transform });
              return { writable, readable: readable.pipeThrough(new CompressionStream(format)) };
            };
            window.r.track('Large', { text: 'x'.repeat(5_000) });
          });
          await window.r.audit();
        }
        setTimeout(() => {
          fetch(started).catch(() => {});
          end(beBusy(work));
        });
        return task;
      },
      [beBusy.toString(), { ms, until: 'refused' }, sending, collector.url + '/started'],
    );
    await collector.until('the long task', () => collector.requests.some(({ path }) => path === '/started'));
    const ended = first.evaluate(async (url) => {
      await window.r.optOut();
      document.cookie = 'optOut=ended';
      await fetch(url + '/resolved');
    }, collector.url);
    while (!(await kept(first)).databases['refrain:T'].consent.includes('"denied"'));
    await first.evaluate(() => (document.cookie = 'said=refused'));
    const [heard] = await Promise.all([running, ended]);
    assert.match(heard, /refused/, 'a refusal is written down although another tab is busy');
    if (sending) assert.doesNotMatch(heard, /ended/, 'it has not ended before who has a request to start');

    // The second tab has had every chance to send once its engine has seen the refusal and a flush has ended.
    await busy.waitForFunction(() => window.r.consent().verdict === 'deny');
    await busy.evaluate(async (url) => {
      await window.r.flush();
      await fetch(url + '/looked');
    }, collector.url);
    const paths = collector.requests.map(({ path }) => path);
    const late = collector.requests.slice(paths.indexOf('/resolved'), paths.indexOf('/looked'));
    assert.deepEqual(late.filter(({ path }) => path === '/track/'), []);
    assert.ok(paths.indexOf('/resolved') < paths.indexOf('/looked'));

    const { local, databases } = await kept(first);
    assert.deepEqual(Object.keys(local), ['refrain:T:consent']);
    assert.deepEqual(Object.keys(databases['refrain:T']), ['consent']);
    const stats = await busy.evaluate(() => window.r.stats());
    assert.ok(stats.dropped.withdrawn > 0, 'what the busy tab had recorded is dropped, and counted');
  });
}

test('C9 all tabs share one device, and identify, register and reset reach them', async (t) => {
  const { collector, open } = await world.person(t);
  const options = { defaultConsent: 'granted' };
  const [one, two] = await Promise.all([open(options), open(options)]);
  const device = await one.evaluate(() => window.r.deviceId());
  assert.equal(await two.evaluate(() => window.r.deviceId()), device);

  await one.evaluate(() => {
    window.r.identify('u1');
    window.r.register({ plan: 'pro' });
  });
  await two.waitForFunction(() => window.r.distinctId() === 'u1');
  await collector.arrived('$identify');
  await two.evaluate(() => window.r.reset());
  const fresh = await two.evaluate(() => window.r.deviceId());
  assert.notEqual(fresh, device);
  await one.waitForFunction((fresh) => window.r.deviceId() === fresh, fresh);
  await one.evaluate(() => window.r.track('Fresh'));
  const [event] = await collector.arrived('Fresh');
  assert.equal(event.properties.distinct_id, '$device:' + fresh);
  assert.equal(event.properties.plan, undefined);
});

test('a grant in one tab releases what another one holds', async (t) => {
  const { collector, open } = await world.person(t);
  const [one, two] = [await open({}), await open({})];
  await two.evaluate(() => window.r.track('Held'));
  await one.evaluate(() => window.r.optIn());
  await collector.arrived('Held');
  await collector.arrived('$opt_in');
  await Promise.all([one, two].map((page) => page.evaluate(() => window.r.flush())));
  assert.equal(collector.named('$opt_in').length, 1);
});

test('the queue of a tab that was killed is delivered by the next one', async (t) => {
  const { collector, context, open } = await world.person(t);
  const options = { defaultConsent: 'granted', flushInterval: 3_600_000 };
  const page = await open(options);
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => {
    for (let n = 0; n < 10; n++) window.r.track('Left', { n });
  });
  await page.waitForFunction(() => Object.keys(localStorage).filter((key) => key.includes(':q:')).length === 10);
  const session = await context.newCDPSession(page);
  const crashed = new Promise((done) => page.on('crash', done));
  session.send('Page.crash').catch(() => {});
  await crashed;

  const next = await open({ ...options, flushInterval: 50 });
  const events = await collector.arrived('Left', 10);
  assert.deepEqual(events.map((event) => event.properties.n), [...Array(10).keys()]);
  await next.evaluate(() => window.r.flush());
  const stats = await next.evaluate(() => window.r.stats());
  assert.deepEqual([stats.adopted, stats.delivered, stats.queued], [10, 10, 0]);
  await next.waitForFunction(() => !Object.keys(localStorage).some((key) => key.includes(':q:')));
});

test('a living tab keeps its queue when another one starts', async (t) => {
  const { collector, open } = await world.person(t);
  const options = { defaultConsent: 'granted', flushInterval: 3_600_000 };
  const page = await open(options);
  await page.evaluate(() => window.r.track('First'));
  await page.waitForFunction(() => window.r.stats().delivered === 1);
  await page.evaluate(() => window.r.track('Mine'));
  await page.waitForFunction(() => Object.values(localStorage).some((value) => value.includes('Mine')));
  const other = await open({ ...options, flushInterval: 50 });
  await other.evaluate(async () => {
    window.r.track('Theirs');
    await window.r.flush();
  });
  await collector.arrived('Theirs');
  assert.equal((await other.evaluate(() => window.r.stats())).adopted, 0);
  assert.equal(collector.named('Mine').length, 0);
  await page.evaluate(() => window.r.flush());
  assert.equal(collector.named('Mine').length, 1);
});

/** Runs in a page: a name that belongs to another client does not come free, however long it is waited for. */
const PATIENT = () => (AbortSignal.timeout = () => new AbortController().signal);

for (const [what, begin] of [
  ['a window that the page has opened', async (page) => {
    const [opened] = await Promise.all([page.waitForEvent('popup'), page.evaluate(() => void window.open('/'))]);
    await opened.waitForLoadState();
    return opened;
  }],
  ['a frame of the page', async (page) => {
    await page.evaluate(
      () =>
        new Promise((done) => {
          const frame = document.createElement('iframe');
          frame.src = '/';
          frame.onload = done;
          document.body.append(frame);
        }),
    );
    return page.frames()[1];
  }],
  ['a second client of the page', async (page) => page],
]) {
  test(`${what} takes a name of its own without waiting for the page's`, async (t) => {
    const { collector, open } = await world.person(t);
    const page = await open({ defaultConsent: 'granted' });
    const other = await begin(page);
    await other.evaluate(PATIENT);
    await start(other, collector, { defaultConsent: 'granted' });
    await other.evaluate(() => window.r.track('There'));
    await collector.arrived('There');
  });
}

test('a duplicated tab gets a name of its own', async (t) => {
  const { collector, open } = await world.person(t);
  const options = { defaultConsent: 'granted', flushInterval: 3_600_000 };
  const page = await open(options);
  const tab = await page.evaluate(() => sessionStorage['refrain:T:tab']);
  assert.match(tab, /^[0-9a-f]+$/);
  const copy = await open();
  await copy.evaluate((tab) => (sessionStorage['refrain:T:tab'] = tab), tab);
  await start(copy, collector, options);
  assert.notEqual(await copy.evaluate(() => sessionStorage['refrain:T:tab']), tab);
});

test('C12 what an objection asks for is asked once, however many tabs there are', async (t) => {
  const { collector, open } = await world.person(t);
  const pages = await Promise.all([1, 2, 3, 4].map(() => open({ defaultConsent: 'granted' })));
  await pages[0].evaluate(async () => {
    window.r.track('E');
    await window.r.flush();
    await window.r.optOut({ erase: true, deleteProfile: true });
  });
  for (const page of pages) {
    await page.waitForFunction(async () => {
      const { outbox } = await window.r.audit();
      return outbox.length === 2 && outbox.every(({ state }) => state === 'completed');
    });
    await page.evaluate(() => window.r.shutdown(20_000));
  }
  const asked = collector.requests.filter(({ method, path }) => method === 'POST' && path !== '/track/');
  assert.deepEqual(asked.map(({ path }) => path), ['/refrain/v1/erasures', '/engage/']);
});

test('C5 nothing is stored or sent while another tab fences', async (t) => {
  const { collector, open } = await world.person(t);
  const [page, fencing] = [await open({ defaultConsent: 'granted' }), await open()];
  await fencing.evaluate(
    () =>
      new Promise((got) => {
        navigator.locks.request('refrain:T:send', () => new Promise((free) => got((window.free = free) && undefined)));
      }),
  );
  await page.evaluate(() => window.r.track('Fenced'));
  const waits = await page.evaluate(async () => {
    for (;;) {
      const { pending } = await navigator.locks.query();
      if (pending.some(({ name, mode }) => name === 'refrain:T:send' && mode === 'shared')) return true;
      if (Object.keys(localStorage).some((key) => key.includes(':q:'))) return false;
    }
  });
  assert.ok(waits, 'the writer waits for the lock');
  assert.deepEqual(Object.keys((await kept(page)).local).filter((key) => key.includes(':q:')), []);
  assert.deepEqual(collector.requests.filter(({ path }) => path === '/track/'), []);
  await fencing.evaluate(() => window.free());
  await collector.arrived('Fenced');
});

test('C9 a signal that says no in one tab leaves the device to those that are allowed, and takes it where none is', async (t) => {
  const { open } = await world.person(t);
  const options = { defaultConsent: 'granted', flushInterval: 3_600_000 };
  const [allowed, other] = [await open(options), await open(options)];
  const device = async () => {
    const text = (await kept(allowed)).databases['refrain:T'].identity;
    return text && JSON.parse(text).secret;
  };
  for (const page of [allowed, other]) await page.evaluate(() => window.r.flush());
  const before = await device();
  await other.evaluate(() => window.r.signals({ host: true }));
  await other.evaluate(() => window.r.audit());
  assert.equal(await device(), before);
  await allowed.evaluate(() => window.r.signals({ host: true }));
  assert.equal(await device(), undefined);
});
