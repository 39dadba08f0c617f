// `node bench.mjs [--rounds N]`: what a call costs a page's main thread, beside other published clients, and what each of
// them weighs. Every figure is of a fresh profile; the clients take turns within a round, so that a machine that is busy
// for a while is busy for all of them. `cargo xtask bench browser` builds and installs what this needs.

import { build } from 'esbuild';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { FLAGS } from '../../e2e/node/chromium-flags.mjs';
import { startCollector } from './collector.mjs';
import { properties } from './properties.mjs';

const CLIENTS = ['nothing', 'refrain', 'mixpanel', 'amplitude', 'snowplow', 'glean'];
/** Calls in one task; calls that come one by one, and how many milliseconds after each other. */
const BURST = 2000;
const PACED = 300;
const GAP = 20;
/** How long all records may take to arrive, in milliseconds; some never do. */
const PATIENCE = 20_000;

/** A page that nobody sees keeps its pace. */
const ARGUMENTS = [...FLAGS, '--disable-background-timer-throttling', '--disable-renderer-backgrounding'];
const DIST = new URL('../../../sdk-wasm/npm/dist/', import.meta.url);
/** What a page loads of the package before a record can leave. */
const LOADED = ['index.js', 'client.js', 'refrain_wasm_bg.wasm'];
const TYPES = { html: 'text/html', js: 'text/javascript', wasm: 'application/wasm' };

const main = async () => {
  const rounds = roundsOf(process.argv.slice(2));
  const bundles = Object.fromEntries(await Promise.all(CLIENTS.map(async (name) => [name, await bundle(name)])));
  const [site, collector, browser] = await Promise.all([
    startSite(bundles),
    startCollector(),
    chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS }),
  ]);
  const burst = Object.fromEntries(CLIENTS.map((name) => [name, []]));
  const paced = structuredClone(burst);
  for (let round = 0; round < rounds; round++) {
    for (const name of CLIENTS) {
      burst[name].push(await play(browser, site.url, collector, name, BURST, 0));
      paced[name].push(await play(browser, site.url, collector, name, PACED, GAP));
    }
  }
  await browser.close();
  collector.stop();
  site.stop();

  console.log(`a page's main thread; medians of ${rounds} rounds that took turns; its clock has steps of 5 µs`);
  console.log(`${BURST} calls in one task, until all have arrived; ${PACED} calls, one every ${GAP} ms`);
  row('', 'mean µs', 'p50', 'p99', 'long tasks', 'longest ms', 'busy ms', 'arrived', 'paced p50', 'p99', 'gzip B');
  const idle = median(burst.nothing, 'busy');
  for (const name of CLIENTS) {
    const of = (key, digits = 0) => median(burst[name], key).toFixed(digits);
    const each = (key) => median(paced[name], key).toFixed(0);
    const busy = (median(burst[name], 'busy') - idle).toFixed(0);
    const bytes = await weight(name, bundles[name]);
    row(name, of('mean', 1), of('p50'), of('p99'), of('long'), of('longest'), busy, of('arrived'), each('p50'), each('p99'), bytes);
  }
};

const roundsOf = ([option = '--rounds', value = '3', ...rest]) => {
  const rounds = Number(value);
  if (option == '--rounds' && !rest.length && Number.isInteger(rounds) && rounds > 0) return rounds;
  console.error('cargo xtask bench browser [--rounds N]   3 rounds');
  process.exit(2);
};

const bundle = async (name) => {
  const { outputFiles } = await build({
    entryPoints: [new URL(`sdks/${name}.js`, import.meta.url).pathname],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2020',
    // The package as it is published.
    external: ['/dist/*'],
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    mainFields: ['browser', 'module', 'main'],
  });
  return Buffer.from(outputFiles[0].contents);
};

const weight = async (name, bundle) => {
  const files = name == 'refrain' ? await Promise.all(LOADED.map((file) => readFile(new URL(file, DIST)))) : [];
  return [bundle, ...files].reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
};

const startSite = async (bundles) => {
  const server = createServer(async (request, response) => {
    const [, folder, name] = request.url.split('/');
    const file = folder == 'dist' ? await readFile(new URL(name, DIST)).catch(() => undefined) : bundles[name?.slice(0, -3)];
    // An isolated page may read a clock of finer steps.
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Content-Type', TYPES[file ? name.split('.').pop() : 'html']);
    response.end(file ?? '<!doctype html><link rel=icon href=data:,><title>shop</title>');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

const play = async (browser, site, collector, name, count, gap) => {
  // Some send nothing for a browser that says it has no head.
  const userAgent = `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${browser.version()} Safari/537.36`;
  const context = await browser.newContext({ userAgent });
  try {
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    await session.send('Performance.enable');
    const busy = async () => {
      const { metrics } = await session.send('Performance.getMetrics');
      return metrics.find((metric) => metric.name == 'TaskDuration').value * 1000;
    };
    await page.goto(site);
    await page.evaluate(begin, [name, collector.url]);
    collector.clear();
    const before = await busy();
    const all = Array.from({ length: count }, (_, number) => properties(number));
    const { took, mean } = await page.evaluate(call, [all, gap]);
    const arrived = await collector.arrived(count, name == 'nothing' ? 1000 : PATIENCE);
    const long = await page.evaluate(() => window.long);
    took.sort((a, b) => a - b);
    return {
      mean,
      p50: at(took, 0.5),
      p99: at(took, 0.99),
      long: long.length,
      longest: Math.max(0, ...long),
      busy: (await busy()) - before,
      arrived,
    };
  } finally {
    await context.close();
  }
};

/** In the page: starts a client, and ends when what that has set off is over. */
const begin = async ([name, url]) => {
  window.sdk = await import(`/sdks/${name}.js`);
  await window.sdk.start(url);
  await new Promise((done) => setTimeout(done, 1000));
  window.long = [];
  const observer = new PerformanceObserver((list) => window.long.push(...list.getEntries().map((task) => task.duration)));
  observer.observe({ type: 'longtask' });
};

/** In the page: calls, with some milliseconds or nothing between them; how long each took, in microseconds. */
const call = async ([all, gap]) => {
  const took = [];
  // In a task of the page's own: those of the debugger's are never called long.
  await new Promise((done) => setTimeout(done));
  const start = performance.now();
  for (const one of all) {
    const before = performance.now();
    window.sdk.track('Viewed', one);
    took.push((performance.now() - before) * 1000);
    if (gap) await new Promise((done) => setTimeout(done, gap));
  }
  return { took, mean: ((performance.now() - start) * 1000) / all.length };
};

const at = (sorted, share) => sorted[Math.floor((sorted.length - 1) * share)];
const sorted = (numbers) => numbers.sort((a, b) => a - b);
const median = (figures, key) => at(sorted(figures.map((figure) => figure[key])), 0.5);
const row = (name, ...cells) => console.log(name.padEnd(10) + cells.map((cell) => String(cell).padStart(11)).join(''));

await main();
