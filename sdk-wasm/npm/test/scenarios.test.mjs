// The scenarios of `tests/scenarios` in a checkout, against the mock server itself (`REFRAIN_MOCK_BIN`, or the one that
// `cargo build -p refrain-mock` makes).

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { startWorld } from './support/browser.mjs';
import { openPages } from './support/pages.mjs';
import { openProcesses } from './support/processes.mjs';
import { play, readScenario } from './support/scenario.mjs';

const FOLDER = new URL('../../../tests/scenarios/', import.meta.url);

let world;
before(async () => (world = await startWorld()));
after(() => world.stop());

const scenarios = [];
for (const below of ['', 'must-fail/']) {
  const files = (await readdir(new URL(below, FOLDER))).filter((name) => name.endsWith('.json')).sort();
  assert.ok(files.length, `there is no scenario in ${FOLDER}${below}`);
  for (const file of files) {
    scenarios.push([below + file.slice(0, -5), readScenario(await readFile(new URL(below + file, FOLDER), 'utf8'))]);
  }
}

// Most of a scenario is waiting: for pages to load, for processes to start.
for (const [host, open] of [['browser', (t) => openPages(t, world)], ['node', openProcesses]]) {
  describe(`scenarios, ${host}`, { concurrency: 4 }, () => {
    for (const [name, scenario] of scenarios) {
      test(name, { skip: scenario.notOn[host] }, async (t) => play(t, await open(t), scenario));
    }
  });
}
