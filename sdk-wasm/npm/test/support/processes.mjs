// A stage for scenarios: each client is a process of Node, each device a data folder.

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const ROOT = mkdtempSync(join(tmpdir(), 'refrain-node-'));
// Not with a test: its processes may still write.
process.on('exit', () => rmSync(ROOT, { recursive: true, force: true }));

/** An empty folder. */
export const temporary = () => mkdtemp(join(ROOT, 'device-'));

/** A process that takes work, until the test ends. */
export const startProcess = (t) => {
  const child = fork(new URL('./agent.mjs', import.meta.url), { serialization: 'advanced' });
  const ended = once(child, 'exit');
  const open = new Map();
  let last = 0;
  child.on('message', ({ id, error, value }) => {
    const [done, fail] = open.get(id);
    open.delete(id);
    if (error === undefined) done(value);
    else fail(Error(error));
  });
  ended.then(([code]) => open.forEach(([, fail]) => fail(Error(`the process has ended with ${code}`))));
  t.after(() => child.kill('SIGKILL') && ended);
  return {
    /** Does what a function says, in the process, where `window` is its global object. */
    evaluate: (work, argument) =>
      new Promise((done, fail) => {
        open.set(++last, [done, fail]);
        child.send({ id: last, work: `${work}`, argument });
      }),
    /** Lets it end by itself; its exit code. */
    end: async () => {
      child.disconnect();
      return (await ended)[0];
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
};

/** Starts a client in a process, as `window.r`, and waits for it. */
export const startClient = (stands, token, options) =>
  stands.evaluate(
    async ([token, options]) => {
      const { init } = await import('@refrain/web');
      window.r = init(token, options);
      await window.r.ready;
    },
    [token, options],
  );

/** The files of a data folder, with their content; nothing if there is no folder. Its client may be deleting some. */
export const filesIn = async (folder) => {
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined);
  if (!found) return undefined;
  const files = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const read = files.map(async (file) => [file, await readFile(file, 'utf8').catch(() => undefined)]);
  return Object.fromEntries((await Promise.all(read)).filter(([, content]) => content !== undefined));
};

export const openProcesses = async (t) => {
  const root = await temporary();
  const folderOf = (device) => join(root, device);

  return {
    client: (device) => {
      let stands;
      return {
        start: async (token, options, signals) => {
          stands = startProcess(t);
          await startClient(stands, token, { ...options, signals, dataDir: folderOf(device) });
        },
        evaluate: (work, argument) => stands.evaluate(work, argument),
        close: async () => {
          await stands.evaluate(() => window.r.shutdown());
          assert.equal(await stands.end(), 0);
        },
        kill: () => stands.kill(),
      };
    },
    stores: async (device) => [await filesIn(folderOf(device))],
    hurt: async (device, text) => {
      const record = Object.keys(await filesIn(folderOf(device))).find(isConsent);
      await (text ? writeFile(record, text) : unlink(record));
    },
    checkKept: (word, files) => {
      const shown = JSON.stringify(files);
      const names = Object.keys(files ?? {});
      const data = names.filter((name) => !isConsent(name));
      if (word === 'untouched') assert.equal(files, undefined, shown);
      else if (word === 'nothing') assert.ok(!names.length, shown);
      else if (word === 'consent') assert.ok(!data.length && names.length, shown);
      else if (word === 'data') assert.ok(data.length, shown);
      else assert.fail(`\`${word}\` is no word for what is kept`);
    },
    isConsent,
  };
};

/** Whether it is the file of the consent record. */
const isConsent = (file) => basename(file) === 'consent';
