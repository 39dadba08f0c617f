// A Chromium, a site that serves the built package, and pages of it.

import { chromium } from 'playwright-core';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { FLAGS } from '../../../../tests/e2e/node/chromium-flags.mjs';
import { startCollector } from './collector.mjs';

const TYPES = { html: 'text/html', js: 'text/javascript', wasm: 'application/wasm' };
const DIST = new URL('../../dist/', import.meta.url);

/**
 * A site that serves the built package, and `scripts` by their names; `?policy=…` sets a page's Content Security Policy.
 */
export const startSite = async () => {
  const scripts = {};
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://site');
    const name = pathname.slice(1);
    const built = () => name.startsWith('dist/') && readFile(new URL(name.slice(5), DIST)).catch(() => undefined);
    const file = scripts[name] ?? ((await built()) || undefined);
    if (searchParams.has('policy')) response.setHeader('Content-Security-Policy', searchParams.get('policy'));
    // For frames without an origin.
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Content-Type', TYPES[file ? name.split('.').pop() : 'html']);
    response.end(file ?? '<!doctype html><title>shop</title>');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    scripts,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

/** What the tests of one file share. Close it with `stop`. With `options` the browser is another one. */
export const startWorld = async (options) => {
  const site = await startSite();
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
    ...options,
  });
  /** A browser that has never been anywhere, until the test ends. */
  const profile = async (t) => {
    const context = await browser.newContext();
    context.setDefaultTimeout(20_000);
    t.after(() => context.close());
    return context;
  };
  return {
    site,
    profile,
    /** A person's browser with a collector, for one test. */
    person: async (t) => {
      const collector = await startCollector();
      const context = await profile(t);
      t.after(() => collector.stop());
      return { collector, context, open: (options) => openPage(context, site, collector, options) };
    },
    stop: async () => {
      await browser.close();
      site.stop();
    },
  };
};

/** A page of the site; with options, one with a client that is ready as `window.r`. */
const openPage = async (context, site, collector, options) => {
  const page = await context.newPage();
  await page.goto(site.url);
  if (options) await start(page, collector, options);
  return page;
};

/** A frame in the page that has no origin of its own, as a sandboxed advertisement or a preview: it may store nothing. */
export const frameWithoutOrigin = async (page) => {
  await page.evaluate(
    () =>
      new Promise((done) => {
        const frame = document.createElement('iframe');
        frame.sandbox = 'allow-scripts';
        frame.src = '/frame';
        frame.onload = done;
        document.body.append(frame);
      }),
  );
  return page.frames()[1];
};

/** Starts a client in a page and waits for it; or, with `early`, tracks an event of that name at once and says what came of it. */
export const start = (page, collector, { early, token = 'T', ...options } = {}) =>
  page.evaluate(
    async ([token, options, early]) => {
      const { init } = await import('/dist/index.js');
      window.r = init(token, options);
      if (early) return window.r.track(early);
      await window.r.ready;
    },
    [token, { endpoint: collector.url, flushInterval: 50, ...options }, early],
  );

/** Everything that the page's origin keeps. */
export const kept = (page) =>
  page.evaluate(async () => {
    const databases = {};
    for (const { name } of await indexedDB.databases()) {
      databases[name] = await new Promise((done, fail) => {
        const request = indexedDB.open(name);
        request.onerror = () => fail(request.error);
        request.onsuccess = () => {
          const records = {};
          const stores = [...request.result.objectStoreNames];
          if (!stores.length) return request.result.close(), done(records);
          const transaction = request.result.transaction(stores);
          for (const store of stores) {
            const cursor = transaction.objectStore(store).openCursor();
            cursor.onsuccess = () => {
              if (!cursor.result) return;
              records[cursor.result.key] = cursor.result.value;
              cursor.result.continue();
            };
          }
          transaction.oncomplete = () => {
            request.result.close();
            done(records);
          };
        };
      });
    }
    return {
      local: { ...localStorage },
      session: { ...sessionStorage },
      cookies: document.cookie,
      databases,
    };
  });

/** What a person who has decided nothing, or against it by a signal, leaves behind. */
export const NOTHING = { local: {}, session: {}, cookies: '', databases: {} };
