// A stage for scenarios: each client is a page of a browser, each device a profile.

import assert from 'node:assert/strict';
import { kept, NOTHING } from './browser.mjs';
import { TOKEN } from './scenario.mjs';

export const openPages = (t, world) => {
  /** Browser contexts. */
  const devices = new Map();
  const open = new Set();

  const deviceOf = async (name) => {
    if (!devices.has(name)) devices.set(name, await world.profile(t));
    return devices.get(name);
  };

  /** Does something in each page of a device that there is, or in a new one. */
  const inPages = async (device, act) => {
    const context = await deviceOf(device);
    const pages = [...open].filter((one) => one.device === device);
    if (pages.length) return Promise.all(pages.map(({ page }) => act(page)));
    const page = await context.newPage();
    try {
      await page.goto(world.site.url);
      return [await act(page)];
    } finally {
      await page.close();
    }
  };

  return {
    client: (device) => {
      let page;
      let entry;
      return {
        start: async (token, options, { gpc, dnt, host } = {}) => {
          if (!page) {
            page = await (await deviceOf(device)).newPage();
            open.add((entry = { device, page }));
          }
          await page.addInitScript(([gpc, dnt]) => {
            Object.defineProperty(navigator, 'globalPrivacyControl', { value: gpc, configurable: true });
            Object.defineProperty(navigator, 'doNotTrack', { value: dnt ? '1' : null, configurable: true });
          }, [gpc, dnt]);
          await page.goto(world.site.url);
          await page.evaluate(async ([token, options]) => {
            const { init } = await import('/dist/index.js');
            window.r = init(token, options);
            await window.r.ready;
          }, [token, { ...options, signals: { host } }]);
        },
        evaluate: (work, argument) => page.evaluate(work, argument),
        close: () => page.goto(world.site.url + 'left'),
        kill: async () => {
          const session = await page.context().newCDPSession(page);
          const crashed = new Promise((done) => page.once('crash', done));
          session.send('Page.crash').catch(() => {});
          await crashed;
          await page.close();
          open.delete(entry);
          page = undefined;
        },
      };
    },
    stores: (device) => inPages(device, kept),
    hurt: (device, text) => inPages(device, (page) => page.evaluate(hurt, [TOKEN, text])),
    checkKept,
    isConsent: (item) => [`localStorage ${MIRROR}`, `indexedDB ${RECORD}`].includes(item),
  };
};

const MIRROR = `refrain:${TOKEN}:consent`;
const RECORD = `refrain:${TOKEN} consent`;

/** In a page: puts another text in the place of the consent record and its mirror, or nothing. */
const hurt = ([token, text]) =>
  new Promise((done, fail) => {
    if (text) localStorage[`refrain:${token}:consent`] = text;
    else delete localStorage[`refrain:${token}:consent`];
    const open = indexedDB.open('refrain:' + token);
    open.onerror = () => fail(open.error);
    open.onsuccess = () => {
      if (!open.result.objectStoreNames.length) return fail(Error('there is no record'));
      const change = open.result.transaction('records', 'readwrite');
      if (text) change.objectStore('records').put(text, 'consent');
      else change.objectStore('records').delete('consent');
      change.oncomplete = () => done(open.result.close());
    };
  });

/** What all of a page's stores hold. */
const checkKept = (word, raw) => {
  const { local, session, cookies, databases } = raw;
  const keys = ([name, records]) => Object.keys(records).map((key) => `${name} ${key}`);
  const records = Object.entries(databases).flatMap(keys);
  const data = [
    ...Object.keys(local).filter((key) => key !== MIRROR),
    ...Object.keys(session),
    ...records.filter((record) => record !== RECORD),
    ...(cookies ? [cookies] : []),
  ];
  const recorded = MIRROR in local || records.includes(RECORD);
  const shown = JSON.stringify(raw);
  if (word === 'untouched') assert.deepEqual(raw, NOTHING);
  else if (word === 'nothing') assert.ok(!data.length && !recorded, shown);
  else if (word === 'consent') assert.ok(!data.length && MIRROR in local && records.includes(RECORD), shown);
  else if (word === 'data') assert.ok(data.length, shown);
  else assert.fail(`\`${word}\` is no word for what is kept`);
};
