// The test kit: real clients, in a page whose stores, collector and time are the test's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPage } from '@refrain/web/testing';

const GRANTED = { defaultConsent: 'granted' };
const HOUR = 3_600_000;

test('what was held while nobody had decided is sent after the agreement, with its own time', async () => {
  const page = testPage();
  const r = page.init('T');
  assert.equal(r.track('Bought', { item: 'umbrella', price: 12.5 }), 'held');
  await page.advance(60_000);
  assert.deepEqual([page.requests, page.wallTime], [[], Date.UTC(2026, 0, 1, 0, 1)]);
  await r.optIn();
  const event = await page.expectEvent('Bought', { item: 'umbrella' });
  assert.equal(event.properties.price, 12.5);
  assert.equal(event.properties.time, Date.UTC(2026, 0, 1));
});

test('after an objection nothing is sent in a whole day, and nothing but the choice is kept', async () => {
  const page = testPage();
  const r = page.init('T', GRANTED);
  r.identify('u1');
  r.register({ plan: 'pro' });
  r.track('Bought');
  await page.expectEvent('Bought', { plan: 'pro' });
  await assert.rejects(page.expectNothingKept(), /something is kept[^]*localStorage refrain:T:|deviceId/);
  await r.optOut({ erase: true, deleteProfile: true });
  r.track('Late');
  await page.expectNothingSent();
  await page.expectNothingKept();
  assert.deepEqual((await r.audit()).outbox.map(({ state }) => state), ['completed', 'completed']);
});

test('a failed expectation says what has arrived, and why not what was expected', async () => {
  const page = testPage();
  const r = page.init('T', GRANTED);
  r.track('Bought', { item: 'scarf', sizes: [1, 2] });
  await assert.rejects(page.expectEvent('Bought', { item: 'umbrella', sizes: [1], colour: 'red' }), (error) => {
    assert.match(error.message, /one differed: "item" is "scarf", not "umbrella", "sizes" is \[1,2\], not \[1\], "colour" is missing/);
    assert.match(error.message, /arrived: "Bought"\n/);
    return true;
  });
  await page.expectEvent('Bought', { sizes: [1, 2] });
  await assert.rejects(page.expectEvent('Bought'), /expected before/);
  r.profile().set({ plan: 'pro' });
  await assert.rejects(page.expectProfile({ $set: { plan: 'free' } }), /update: .*"plan":"pro"/);
  await page.expectProfile({ $set: { plan: 'pro' } });
  r.track('More');
  await assert.rejects(page.expectNothingSent(), /something has left\n  \/track\/[^]*More/);
});

test('time is virtual: a collector that is away, or asks for patience, is tried again when its time has come', async () => {
  const page = testPage();
  const r = page.init('T', GRANTED);
  page.collectorAway(true);
  r.track('Offline');
  assert.equal(await r.flush(), false);
  await assert.rejects(page.expectEvent('Offline'), /the collector is away/);
  page.collectorAway(false);
  page.answerNext({ status: 503, retryAfter: 7200 });
  await page.advance(HOUR);
  assert.deepEqual(page.requests.map(({ status }) => status), [503]);
  await page.advance(2 * HOUR);
  await page.expectEvent('Offline');
  assert.equal(r.stats().delivered, 1);
});

test('a page that is opened again finds the choice, the identity and what was not delivered', async () => {
  const page = testPage();
  const before = page.init('T');
  await before.optIn();
  page.collectorAway(true);
  before.track('Unsent');
  const device = before.deviceId();
  await page.leave();
  assert.equal(before.track('Gone').rejected, 'closed');
  page.collectorAway(false);
  const after = page.init('T');
  await after.ready;
  assert.deepEqual([after.consent().decision, after.deviceId()], ['granted', device]);
  await page.advance(HOUR);
  await page.expectEvent('Unsent', { $device_id: device });
});

test('a page that is left sends what it holds', async () => {
  const page = testPage();
  const r = page.init('T', { ...GRANTED, flushInterval: HOUR });
  await r.ready;
  r.track('First');
  await page.settle();
  r.track('Last', { text: 'one & two + 100 %' });
  await page.leave();
  assert.deepEqual(page.events.map(({ event }) => event), ['First', 'Last']);
  assert.equal(page.events[1].properties.text, 'one & two + 100 %');
});

test('what the browser says counts', async () => {
  const page = testPage({ gpc: true });
  const r = page.init('T', GRANTED);
  await r.ready;
  assert.deepEqual([r.consent().reason, r.track('Refused').rejected], ['gpc', 'denied']);
  await page.expectNothingSent();
  await page.expectNothingKept();
});

test('no expectation passes for a client that could not start', async () => {
  const page = testPage();
  const r = page.init('');
  assert.equal(await r.flush(), false);
  for (const look of [
    () => page.expectEvent('E'),
    () => page.expectNothingSent(),
    () => page.expectNothingKept(),
  ]) {
    await assert.rejects(look, /is the token empty/);
  }
});

test('every run is the same, and no page knows of the one before', async () => {
  const run = async () => {
    const page = testPage();
    const r = page.init('T', GRANTED);
    r.track('Bought');
    await page.expectEvent('Bought');
    return page.events;
  };
  assert.deepEqual(await run(), await run());
});

test('an app hears where consent stands, once it is known and at every change, and may answer', async () => {
  const page = testPage();
  const heard = [];
  const r = page.init('T', {
    onConsent: ({ decision, verdict }) => {
      heard.push(`${decision} ${verdict}`);
      if (verdict == 'hold') r.track('Asked');
      else throw Error('no banner');
    },
  });
  await r.ready;
  await r.optIn();
  await page.expectEvent('Asked');
  await r.optOut();
  await page.advance(HOUR);
  assert.deepEqual(heard, ['unset hold', 'granted allow', 'denied deny']);
  await assert.rejects(testPage().init('T', { onConsent: 'later' }).ready, /onConsent must be a function/);
});

test('a module without the detector for personal data does not start a client that wants it', async () => {
  const page = testPage();
  const r = page.init('T', { personalData: 'redact' });
  await assert.rejects(r.ready, /^Error: personalData needs a module .* --features personal-data$/);
  await page.init('T', { personalData: 'off' }).ready;
});
