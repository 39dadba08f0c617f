// `cargo xtask demo --once`: the demo's story without a person in front of it, each step checked.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { NAMES } from './people.mjs';

/** Tells the story; returns whether all of it was as it should be. */
export async function check({ collector, people, site, chromium }) {
  const report = new Report();
  await report.chapter('the site', () => siteAnswers(report, site));
  await report.chapter('people visit', () => peopleVisit(report, collector, people));
  if (chromium) await report.chapter('the shop in Chromium', () => shopInChromium(report, collector, site, chromium));
  else report.note('the shop in Chromium: left out, there is no Chromium on this machine');
  await report.chapter('opting out', () => optingOut(report, collector, people));
  await report.chapter('erasure', () => erasure(report, collector));
  await report.chapter('five years', () => fiveYears(report, collector));
  return report.close();
}

async function siteAnswers(report, site) {
  for (const [path, status] of [['/', 200], ['//', 400], ['/nothing', 404]]) {
    report.equal(`${path} is answered`, (await fetch(site.url + path)).status, status);
  }
}

async function peopleVisit(report, collector, people) {
  for (const name of NAMES) {
    const first = await people.tell('visit', name);
    const second = await people.tell('visit', name);
    report.equal(`${name}: events accepted`, first.accepted + second.accepted, 5);
  }
  report.equal('everything was delivered', (await people.tell('flush')).delivered, true);
  for (const name of NAMES) {
    const { events } = await collector.events({ distinct_id: name });
    report.equal(`${name}: purchases at the collector`, events.filter((it) => it.event === 'Bought').length, 1);
    report.equal(`${name}: visits at the collector`, events.filter((it) => it.event === 'Opened the shop').length, 2);
  }
}

async function shopInChromium(report, collector, site, executablePath) {
  const { chromium } = await import('../../tests/e2e/node/node_modules/playwright-core/index.mjs');
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'];
  const browser = await chromium.launch({ executablePath, headless: true, args });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    const buy = (item) => page.getByRole('button', { name: `Buy the ${item}` }).click();
    const settled = async () => {
      await page.locator('body[data-ready=true]').waitFor();
      await page.evaluate(() => window.shop.flush());
    };
    const banner = page.getByRole('dialog', { name: 'May we count your visit?' });

    await page.goto(`${site.url}/shop/`);
    await settled();
    report.equal('the banner asks', await banner.isVisible(), true);
    await buy('teapot');
    await settled();
    report.equal('before an answer nothing arrives', (await collector.events({ event: 'Bought in the shop' })).total, 0);

    await banner.getByRole('button', { name: 'Yes' }).click();
    await collector.wait({ event: 'Bought in the shop', min: 1 });
    await buy('lamp');
    const bought = await collector.wait({ event: 'Bought in the shop', min: 2 });
    const items = bought.events.map((it) => it.properties.item).sort();
    report.equal('after a yes all of it arrives', items.join(), 'lamp,teapot');

    await page.getByRole('button', { name: 'Stop counting me' }).click();
    await page.locator('body[data-consent=denied]').waitFor();
    const before = await arrived(collector);
    await buy('umbrella');
    await settled();
    await page.reload();
    await settled();
    report.equal('after a reload the no is remembered', await banner.isVisible(), false);
    await buy('umbrella');
    await settled();
    await page.goto('about:blank');
    report.equal('after a no nothing more arrives', await arrived(collector), before);
  } finally {
    await browser.close();
  }
}

async function optingOut(report, collector, people) {
  await people.tell('opt-out', 'ben');
  const before = await arrived(collector);
  const visit = await people.tell('visit', 'ben');
  report.equal('ben: events refused after his no', `${visit.refused} refused, ${visit.accepted} accepted`, '3 refused, 0 accepted');
  await people.tell('flush');
  report.equal('ben: nothing more arrives', await arrived(collector), before);
}

async function erasure(report, collector) {
  const others = (await collector.events({ distinct_id: 'chloe' })).total;
  report.equal('ada: is known before', (await collector.events({ distinct_id: 'ada' })).total > 0, true);
  const { events } = await collector.events({ distinct_id: 'ada' });
  const ids = new Set(events.flatMap(({ properties: it }) => [it.$device_id, it.$user_id, it.$insert_id]).filter(Boolean));
  report.equal('ada: the request to erase her is', await collector.erase('ada'), 'SUCCESS');
  report.equal('ada: events that are left', (await collector.events({ distinct_id: 'ada' })).total, 0);
  const files = await contents(collector.folder);
  report.equal('the collector has files to search', files.length > 0, true);
  const found = [...ids].filter((id) => files.some((bytes) => bytes.includes(Buffer.from(id))));
  // "ada" itself is too short to search for in bytes that look random.
  const searched = [...ids].filter((id) => id.length > 8).length;
  report.equal('ada: ids long enough to search for', searched > 0, true);
  // The files are sealed: in the clear her ids were never there. What the keys that are left still open is what is shown.
  report.equal('ada: her ids in the clear in the raw files', found.filter((id) => id.length > 8).join(), '');
  const left = JSON.stringify((await collector.events()).events);
  report.equal('ada: her ids in what can still be read', [...ids].filter((id) => left.includes(JSON.stringify(id))).join(), '');
  report.equal('chloe: keeps her events', (await collector.events({ distinct_id: 'chloe' })).total, others);
}

async function fiveYears(report, collector) {
  report.equal('there are events before', (await collector.events()).total > 0, true);
  await collector.advance('P5Y1D');
  report.equal('events that are left after five years', (await collector.events()).total, 0);
}

/** How many requests with records have arrived, and how many events are stored. */
async function arrived(collector) {
  const { requests } = await collector.requests();
  const records = requests.filter((it) => it.method === 'POST' && /^\/(track|engage)/.test(it.path)).length;
  return `${records} requests, ${(await collector.events()).total} events`;
}

/** The bytes of every file in the folder. */
async function contents(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((entry) => readFile(join(entry.parentPath ?? entry.path, entry.name))));
}

class Report {
  #good = 0;
  #bad = 0;

  async chapter(title, tell) {
    console.log(`\n${title}`);
    try {
      await tell();
    } catch (error) {
      this.#bad += 1;
      console.log(`  FAILED  ${error.message}`);
    }
  }

  equal(what, found, wanted) {
    const well = found === wanted;
    if (well) this.#good += 1;
    else this.#bad += 1;
    console.log(well ? `  ok      ${what}: ${found}` : `  FAILED  ${what}: ${found}, not ${wanted}`);
  }

  note(text) {
    console.log(`\n${text}`);
  }

  close() {
    console.log(`\n${this.#good} checks passed, ${this.#bad} failed`);
    return this.#bad === 0;
  }
}
