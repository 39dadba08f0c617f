// `cargo xtask demo` builds what this needs and starts it: node demo.mjs FOLDER [--once]
import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

import { check } from './check.mjs';
import { startCollector } from './collector.mjs';
import { NAMES, startPeople } from './people.mjs';
import { openSite } from './site.mjs';

const [folder, option] = process.argv.slice(2);
const { REFRAIN_MOCK_BIN, SHOP_TRAFFIC_BIN, CHROMIUM } = process.env;
if (!folder || !REFRAIN_MOCK_BIN || !SHOP_TRAFFIC_BIN) {
  console.error('usage: REFRAIN_MOCK_BIN=… SHOP_TRAFFIC_BIN=… node demo.mjs FOLDER [--once]');
  process.exit(2);
}

// Each run tells its story from the start.
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
const collector = await startCollector(REFRAIN_MOCK_BIN, folder);
const people = startPeople(SHOP_TRAFFIC_BIN, collector.url, folder);
const site = await openSite(collector, people);

let well = true;
if (option === '--once') {
  well = await check({ collector, people, site, chromium: CHROMIUM });
} else {
  console.log(`\nThe demo is at ${site.url}/  (the shop alone: ${site.url}/shop/)\nCtrl-C ends it.`);
  const ended = new AbortController();
  process.once('SIGINT', () => ended.abort());
  process.once('SIGTERM', () => ended.abort());
  await visitUntil(ended.signal);
}
site.stop();
await people.stop();
await collector.stop();
process.exitCode = well ? 0 : 1;

/** Somebody comes by every other second. */
async function visitUntil(signal) {
  for (let turn = 0; !signal.aborted; turn += 1) {
    await people.tell('visit', NAMES[turn % NAMES.length]);
    await pause(2000, undefined, { signal }).catch(() => {});
  }
}
