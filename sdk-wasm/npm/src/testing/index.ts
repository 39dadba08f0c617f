// The entry for tests of apps: that the right events leave, and that after a "no" nothing does.

import { type TestBrowser, TestPage } from './page.js';

export type { SentRequest, TestAnswer } from './collector.js';
export type { SentEvent, TestBrowser, TestPage } from './page.js';

/**
 * A page for a test, in Node and without a browser. Its clients are real: the engine (as JavaScript) and the driver are
 * the ones that ship. Three things differ. Stores and collector are in memory, and the collector answers as it is told.
 * Time is virtual: it moves when the test says so, and a day passes in milliseconds. Random numbers, and thus ids and
 * the jitter of retries, are the same in every run.
 *
 * There is one page at a time: creating another one ends the previous one.
 *
 * ```js
 * const page = testPage();
 * const r = page.init('TOKEN'); // or give `page.init` to the app in place of `init`
 *
 * r.track('Bought', { item: 'umbrella', price: 12.5 });
 * await page.advance(60_000); // nobody has decided yet
 * assert.equal(page.requests.length, 0);
 *
 * await r.optIn();
 * await page.expectEvent('Bought', { item: 'umbrella' });
 *
 * await r.optOut();
 * r.track('Bought', { item: 'scarf' });
 * await page.expectNothingSent();
 * await page.expectNothingKept();
 * ```
 */
export const testPage = (browser: TestBrowser = {}): TestPage => new TestPage(browser);
