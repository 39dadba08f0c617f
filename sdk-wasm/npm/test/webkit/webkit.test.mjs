// What WebKit may do otherwise than Chromium, in which everything else is tested.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kept, NOTHING, start, startSite } from '../support/browser.mjs';
import { startCollector } from '../support/collector.mjs';
import { startWebKit } from './driver.mjs';

let site;
before(async () => (site = await startSite()));
after(() => site.stop());

const person = async (t) => {
  const collector = await startCollector();
  t.after(() => collector.stop());
  const tab = await startWebKit(t);
  /** A tab with a client that is ready as `window.r`; on a page with this policy. */
  const open = async (options, policy) => {
    const page = await tab();
    await page.goto(site.url + (policy ? '?policy=' + encodeURIComponent(policy) : ''));
    if (options) await start(page, collector, options);
    return page;
  };
  return { collector, open };
};

const GRANTED = { defaultConsent: 'granted' };
const decision = (page) => page.evaluate(() => window.r.consent().decision);
const onlyTheChoice = (page) =>
  page.waitForFunction(async () => {
    const { items } = await window.r.audit();
    return items.length === 2 && items.every((item) => item.endsWith('consent'));
  });

test('C3 nothing is kept or sent before a decision, not even an empty database; a grant releases what was held', async (t) => {
  const { collector, open } = await person(t);
  const page = await open({});
  assert.equal(await page.evaluate(() => window.r.track('Held')), 'held');
  await page.evaluate(() => window.r.audit());
  assert.deepEqual(await kept(page), NOTHING);
  assert.deepEqual(collector.requests, []);
  await page.evaluate(() => window.r.optIn());
  await collector.arrived('Held');
});

test('C7 a refusal holds, also where its page is reloaded in the same task', async (t) => {
  const { collector, open } = await person(t);
  const page = await open(GRANTED);
  await page.evaluate(() => void window.r.track('First'));
  await collector.arrived('First');
  await page.leave(() => (window.r.optOut(), location.reload()));
  await start(page, collector, GRANTED);
  assert.equal(await decision(page), 'denied');
  await onlyTheChoice(page);
});

test('C7 a refusal holds that no client has heard, for want of a module', async (t) => {
  const { collector, open } = await person(t);
  const page = await open(GRANTED);
  const other = await open(GRANTED);
  await page.goto(site.url + '?elsewhere');
  await start(page, collector, { ...GRANTED, wasmUrl: '/nothing', early: 'Early' });
  await page.evaluate(() => window.r.optOut().catch(() => {}));
  await other.waitForFunction(() => window.r.consent().decision === 'denied');
  await page.reload();
  await start(page, collector, GRANTED);
  assert.equal(await decision(page), 'denied');
  await onlyTheChoice(page);
});

test('a page that forbids WebAssembly gets the same as JavaScript, and obeys the same record', async (t) => {
  const { collector, open } = await person(t);
  const plain = await open(GRANTED, "script-src 'self'");
  const usual = await open(GRANTED);
  const device = (page) => page.evaluate(() => (window.r.track('E'), window.r.deviceId()));
  assert.equal(await device(plain), await device(usual));
  await collector.arrived('E', 2);
  await plain.evaluate(() => window.r.optOut());
  await usual.waitForFunction(() => window.r.consent().verdict === 'deny');
});

test('what is recorded as a page is left leaves with it; what a closed tab has left, with another one', async (t) => {
  const { collector, open } = await person(t);
  const slow = { ...GRANTED, flushInterval: 3_600_000 };
  const page = await open(slow);
  const other = await open(slow);
  await page.evaluate(() => window.r.flush());
  await page.leave(() => (window.r.track('Left'), location.assign('/?elsewhere')));
  await collector.arrived('Left');
  collector.answers.push((_, response) => response.destroy());
  await other.evaluate(() => void window.r.track('Orphan'));
  await other.close();
  await start(page, collector, GRANTED);
  await collector.arrived('Orphan');
});
