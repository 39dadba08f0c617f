// The package in Node: real processes, a real data folder, the real server.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, readdir, symlink, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startServer } from '../../../tests/e2e/node/mock-server.mjs';
import { startCollector } from './support/collector.mjs';
import { nobody } from './support/nobody.mjs';
import { filesIn, startClient, startProcess, temporary } from './support/processes.mjs';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const NOBODY = await nobody();

/** A server, an empty place for a data folder, and clients on it. */
const scene = async (t) => {
  const server = await startServer(t);
  const dataDir = join(await temporary(), 'data');
  return {
    server,
    dataDir,
    client: async (options) => {
      const stands = startProcess(t);
      await startClient(stands, 'T', { endpoint: server.url, dataDir, defaultConsent: 'granted', ...options });
      return stands;
    },
  };
};

/** Runs a program that uses the package, and waits until it ends by itself. */
const run = (script) =>
  spawnSync(process.execPath, ['--input-type=module', '--eval', script], { cwd: PACKAGE, encoding: 'utf8', timeout: 60_000 });

const unreachable = (options) => `
  import { init } from '@refrain/web';
  const r = init('T', ${JSON.stringify({ endpoint: NOBODY, flushInterval: 3_600_000, ...options })});
  await r.ready;`;

test('C8 without a data folder nothing is collected until the person agrees, and then for the process', async (t) => {
  const { server, client } = await scene(t);
  const one = await client({ dataDir: undefined });
  const before = await one.evaluate(() => [r.consent().reason, r.track('Refused').rejected]);
  assert.deepEqual(before, ['store_unavailable', 'denied']);
  const items = await one.evaluate(async () => {
    await r.optIn();
    r.track('Allowed');
    await r.flush();
    return (await r.audit()).items;
  });
  assert.deepEqual(items, []);
  const [, event] = await server.wait({ min: 2 });
  assert.equal(event.event, 'Allowed');
  assert.match(await one.evaluate(() => r.optOut().catch((error) => error.message)), /^not_recorded: /);
  assert.equal(await one.evaluate(() => r.track('Refused').rejected), 'denied');
});

test('C13 nobody is connected to while the person has not agreed, or has refused', async (t) => {
  const { client, dataDir } = await scene(t);
  const collector = await startCollector();
  t.after(() => collector.stop());
  for (const defaultConsent of ['pending', 'denied']) {
    const one = await client({ endpoint: collector.url, defaultConsent, dataDir: join(dataDir, defaultConsent) });
    await one.evaluate(async () => {
      r.track('Early');
      await r.flush();
      await r.optOut();
      r.track('Late');
      await r.shutdown();
    });
    assert.equal(await collector.connections(), 0, defaultConsent);
  }
});

test('a folder has one client at a time, under whatever name, and a killed one leaves it free', async (t) => {
  const { client, dataDir } = await scene(t);
  const first = await client();
  const link = `${dataDir}-link`;
  await symlink(dataDir, link);
  await first.evaluate(async () => {
    r.track('Stays');
    await r.audit();
  });
  for (const path of [dataDir, link, join(dataDir, '..', 'data')]) {
    await assert.rejects(client({ dataDir: path }), /dataDir is in use/);
  }
  // Another project is another folder.
  const other = startProcess(t);
  await startClient(other, 't', { endpoint: NOBODY, dataDir });
  await first.kill();
  await client({ dataDir: link });
});

test('after a shutdown the same process may start again', async (t) => {
  const { server, client, dataDir } = await scene(t);
  const one = await client();
  await one.evaluate(async () => {
    r.track('First');
    await r.shutdown();
  });
  await startClient(one, 'T', { endpoint: server.url, dataDir, defaultConsent: 'granted' });
  await one.evaluate(async () => {
    r.track('Second');
    await r.flush();
  });
  const events = await server.wait({ min: 2 });
  assert.equal(events[0].properties.$device_id, events[1].properties.$device_id);
});

test('what a process has recorded when it exits or ends is sent by the next one', async (t) => {
  const { server, client, dataDir } = await scene(t);
  const options = { defaultConsent: 'granted', dataDir };
  const exit = run(`${unreachable(options)} r.track('At exit'); process.exit(3)`);
  assert.deepEqual([exit.status, exit.stderr], [3, '']);
  const end = run(`${unreachable(options)} r.track('At the end')`);
  assert.deepEqual([end.status, end.stderr], [0, '']);
  const one = await client();
  await one.evaluate(() => r.flush());
  const events = await server.wait({ min: 2 });
  assert.deepEqual(events.map(({ event }) => event), ['At exit', 'At the end']);
});

test('an error of a call whose end nobody waits for ends no process', async (t) => {
  const { dataDir } = await scene(t);
  const { status, stdout, stderr } = run(`${unreachable({ dataDir })} r.signals({ dnt: 1 }); r.optOut({ unknown: 1 });
    await r.shutdown(); setTimeout(() => console.log('alive'))`);
  assert.deepEqual([status, stdout, stderr], [0, 'alive\n', '']);
});

test('C7 a refusal stands although the process exits in the same task, with the erasure it asks for', async (t) => {
  const { server, client, dataDir } = await scene(t);
  const first = await client();
  await first.evaluate(async () => {
    r.track('First');
    await r.shutdown();
  });
  const [{ properties }] = await server.wait({ min: 1 });
  const exit = run(`${unreachable({ defaultConsent: 'granted', dataDir })} r.optOut({ erase: true }); process.exit(3)`);
  assert.deepEqual([exit.status, exit.stderr], [3, '']);
  const next = await client();
  assert.equal(await next.evaluate(() => r.consent().decision), 'denied');
  const { items, outbox } = await next.evaluate(() => r.audit());
  assert.deepEqual([items.map((item) => basename(item)), outbox.length], [['consent'], 1]);
  const record = await readFile(items[0], 'utf8');
  assert.ok(record.includes(properties.$device_id));
});

test('C12 an erasure leaves with a program that objects and shuts down', async (t) => {
  const { server, client } = await scene(t);
  const one = await client();
  await one.evaluate(async () => {
    r.track('First');
    await r.flush();
  });
  await server.wait({ min: 1 });
  const [{ state }] = await one.evaluate(async () => {
    await r.optOut({ erase: true });
    await r.shutdown(20_000);
    return (await r.audit()).outbox;
  });
  assert.notEqual(state, 'requested');
});

test('a program is not kept from ending, whatever waits', () => {
  for (const options of [{}, { defaultConsent: 'pending' }]) {
    const { status, stderr } = run(`${unreachable(options)} await r.optIn(); r.track('Queued'); r.timeEvent('Timed')`);
    assert.deepEqual([status, stderr], [0, '']);
  }
});

test('importing does nothing, and a client that cannot start says why', async (t) => {
  const { dataDir } = await scene(t);
  const imported = run("const { init } = await import('@refrain/web'); console.log(typeof init)");
  assert.deepEqual([imported.status, imported.stdout, imported.stderr], [0, 'function\n', '']);
  await writeFile(dataDir, 'a file');
  const one = startProcess(t);
  for (const [token, options, why] of [
    ['T', { dataDir: '' }, /dataDir must be the path/],
    ['T', { dataDir: 7 }, /dataDir must be the path/],
    ['T', { dataDir }, /dataDir cannot be used: ENOTDIR/],
    ['T', { endpoint: undefined }, /endpoint must be a text/],
    ['T', { endpoint: '/collect' }, /endpoint must be an address/],
    ['', {}, /is the token empty/],
    [7, {}, /token must be a text/],
  ]) {
    await assert.rejects(startClient(one, token, { endpoint: NOBODY, ...options }), why);
    assert.equal(await one.evaluate(() => r.track('E').rejected), 'not_loaded');
    assert.equal(await one.evaluate(async () => (await r.shutdown(), r.flush())), false);
  }
});

test('a process has as many clients as it likes, and keeps what each has recorded when it exits', async (t) => {
  const { dataDir } = await scene(t);
  const { status, stderr } = run(`
    const { init } = await import('@refrain/web');
    for (let at = 0; at < 12; at++) {
      const r = init('T' + at, ${JSON.stringify({ endpoint: NOBODY, dataDir, defaultConsent: 'granted' })});
      await r.ready;
      r.track('Last');
    }
    process.exit();`);
  assert.deepEqual([status, stderr], [0, '']);
  const kept = Object.values(await filesIn(dataDir)).filter((text) => text.includes('"Last"'));
  assert.equal(kept.length, 12);
});

test('two clients of one project in a process, each with a folder of its own, find their queues again', async (t) => {
  const { dataDir } = await scene(t);
  const start = (ends) => `
    const { init } = await import('@refrain/web');
    const options = ${JSON.stringify({ endpoint: NOBODY, defaultConsent: 'granted' })};
    const two = ['one', 'two'].map((name) => init('T', { ...options, dataDir: ${JSON.stringify(dataDir)} + name }));
    for (const { ready } of two) await ready;
    ${ends}
    process.exit();`;
  run(start("for (const r of two) r.track('Left');"));
  const { stdout } = run(start('console.log(...two.map((r) => r.stats().recovered));'));
  assert.equal(stdout, '1 1\n');
});

test('a client that cannot start says so, once for many', () => {
  const { status, stderr } = run(`
    const { init } = await import('@refrain/web');
    for (const one of [1, 2]) await init('T').ready.catch(() => {});`);
  assert.deepEqual([status, stderr], [0, 'refrain: nothing is collected: endpoint must be a text\n']);
});

test('a choice that no client ever hears of fails for whoever waits for it, and ends no program', () => {
  const { status, stdout, stderr } = run(`
    const { init } = await import('@refrain/web');
    const r = init('T');
    const choices = [() => r.optIn(), () => r.optOut(), () => r.signals({})];
    choices.forEach((choose) => choose());
    const ends = choices.map((choose) => choose().catch((error) => error.message));
    // What nobody looks at is said by then.
    await new Promise((done) => setImmediate(done));
    console.log(...await Promise.all(ends));`);
  const why = 'endpoint must be a text';
  assert.deepEqual([status, stdout, stderr], [0, `${why} ${why} ${why}\n`, `refrain: nothing is collected: ${why}\n`]);
});

test('C4 C14 after an opt-out the folder holds the refusal, whatever else was left there', async (t) => {
  const { client, dataDir } = await scene(t);
  const one = await client();
  await one.evaluate(async () => {
    r.identify('ada@shop');
    r.register({ trait: 'umbrella' });
    await r.flush();
  });
  const [folder] = await readdir(dataDir);
  await one.kill();
  // Torn, unfinished, foreign, of another time.
  const place = join(dataDir, folder);
  await writeFile(join(place, 'identity.new'), '{"v":1,"user":"ada@shop');
  await writeFile(join(place, 'q%3Agone%3A1'), '');
  await writeFile(join(place, 'q%3Agone%3A2'), '7|{"event":"umbrella"}');
  await writeFile(join(place, '%'), '');
  const two = await client();
  await two.evaluate(() => r.optOut({ erase: true }));
  const files = await filesIn(dataDir);
  assert.deepEqual(Object.keys(files).map((file) => file.slice(place.length + 1)).sort(), ['%', 'consent']);
  assert.doesNotMatch(JSON.stringify(files), /umbrella|ada@shop/);
  const audit = await two.evaluate(() => r.audit());
  assert.deepEqual([audit.queued, audit.outbox.map(({ kind }) => kind)], [0, ['device']]);
  const state = await two.evaluate(async () => {
    for (const end = Date.now() + 60_000; ; ) {
      const { outbox } = await r.audit();
      if (outbox[0].state !== 'requested') return outbox[0].state;
      if (Date.now() > end) throw Error('the erasure is not asked for');
      await new Promise((done) => setTimeout(done, 10));
    }
  });
  assert.match(state, /^(accepted|completed)$/);
});

test('C12 a refusal is about the device and the user that the store holds as it is written', async (t) => {
  const { client, dataDir } = await scene(t);
  const one = await client({ endpoint: NOBODY });
  // Until it has heard that its own is written down, its own counts.
  await one.evaluate(() => (r.identify('alice'), r.signals({})));
  const [file, text] = Object.entries(await filesIn(dataDir)).find(([file]) => basename(file) === 'identity');
  assert.match(text, /"alice"/);
  // Somebody else has come, and nobody has told this client.
  const secret = 'ab'.repeat(16);
  await writeFile(file, JSON.stringify({ ...JSON.parse(text), user: 'bob', secret }));
  await one.evaluate(() => r.optOut({ erase: true, deleteProfile: true }));
  const consent = JSON.parse(await readFile(join(dirname(file), 'consent'), 'utf8'));
  assert.deepEqual(consent.outbox.map((entry) => [entry.kind, entry.secret, entry.user]), [
    ['device', secret, undefined],
    ['profile', undefined, 'bob'],
  ]);
});

test('C4 a choice that cannot be written down holds for the process, and is written when that goes again', async (t) => {
  const { client, dataDir } = await scene(t);
  const one = await client({ defaultConsent: 'pending' });
  await writeFile(dataDir, 'in the way');
  const error = await one.evaluate(() => r.optOut().catch((error) => error.message));
  assert.match(error, /^not_recorded: /);
  assert.deepEqual(await one.evaluate(() => [r.track('E').rejected, r.consent().verdict]), ['denied', 'deny']);
  await unlink(dataDir);
  await one.evaluate(() => r.optOut());
  await one.kill();
  const two = await client();
  assert.equal(await two.evaluate(() => r.consent().reason), 'person');
});

/** Runs in a process: from now on it notes what has been synced of this folder, and of what is below it. */
const noteSyncs = async (root) => {
  const { open, readdir, stat } = await import('node:fs/promises');
  const handle = await open(root);
  const methods = Object.getPrototypeOf(handle);
  await handle.close();
  const { sync } = methods;
  window.synced = [];
  methods.sync = async function () {
    const { ino } = await this.stat();
    await sync.call(this);
    for (const name of ['', ...(await readdir(root, { recursive: true }))]) {
      if ((await stat(root + '/' + name)).ino === ino) window.synced.push(name);
    }
  };
};

test('C4 a choice survives the power going off: it is synced before it has its name, then all that is new above it', async (t) => {
  const { client, dataDir } = await scene(t);
  const one = await client({ defaultConsent: 'pending' });
  await one.evaluate(noteSyncs, dirname(dataDir));
  const synced = await one.evaluate(() => r.optOut().then(() => window.synced));
  const folder = join('data', (await readdir(dataDir))[0]);
  assert.deepEqual(synced, [join(folder, 'consent.new'), folder, 'data', '']);
});

test('C4 a refusal that cannot take the place of the old record is written over it', async (t) => {
  const { client, dataDir } = await scene(t);
  const one = await client();
  await one.evaluate(() => (r.track('E'), r.flush()));
  const [folder] = await readdir(dataDir);
  // As on a full disk: nothing new can be made beside the record.
  await mkdir(join(dataDir, folder, 'consent.new'));
  await one.evaluate(noteSyncs, dataDir);
  const synced = await one.evaluate(() => r.optOut().then(() => window.synced));
  assert.deepEqual(synced, [join(folder, 'consent'), folder]);
  const files = await filesIn(dataDir);
  assert.deepEqual(Object.keys(files), [join(dataDir, folder, 'consent')]);
  assert.equal(JSON.parse(Object.values(files)[0]).decision, 'denied');
});

test('what was written down when a process was killed is sent by a later one, and once', async (t) => {
  const { client, dataDir, server } = await scene(t);
  const names = async () => (await readdir(dataDir, { recursive: true }).catch(() => [])).length;
  const whole = async () => Object.values(await filesIn(dataDir)).filter((text) => /^\d+\|.*}$/.test(text)).length;
  let before = 0;
  for (let round = 0; round < 12; round++) {
    const one = await client({ endpoint: NOBODY });
    const there = await names();
    one.evaluate(async (round) => {
      for (let at = 0; at < 300; at++) {
        r.track('E', { round, at });
        if (at % 7 === 0) await new Promise((done) => setTimeout(done));
      }
    }, round).catch(() => {});
    // In the middle of it.
    while ((await names()) === there) await new Promise((done) => setImmediate(done));
    await one.kill();
    before = await whole();
  }
  const last = await client();
  const stats = await last.evaluate(async () => {
    await r.flush(60_000);
    return r.stats();
  });
  assert.deepEqual([stats.recovered, stats.delivered, stats.queued], [before, before, 0]);
  const { stored, duplicates } = await server.get('/mock/stats');
  assert.deepEqual([stored, duplicates], [before, 0]);
});

test('larger requests are packed, and none if the app says so', async (t) => {
  const { client, server } = await scene(t);
  for (const gzip of [true, false]) {
    const one = await client({ gzip });
    await one.evaluate(async (gzip) => {
      r.track('Packed: ' + gzip, { text: 'x'.repeat(5_000) });
      await r.flush();
      await r.shutdown();
    }, gzip);
  }
  await server.wait({ min: 2 });
  const { requests } = await server.get('/mock/requests');
  assert.deepEqual(requests.filter(({ path }) => path === '/track/').map(({ encoding }) => encoding), ['gzip', '']);
});
