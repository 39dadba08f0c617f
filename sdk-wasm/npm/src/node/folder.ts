// A project's data folder: a file for each key of the queue, and for each record. It is made when the first one is
// written, and read anew whenever it is asked for.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Key, Records } from '../host.js';

/** What is being written has another name until it is whole. */
const UNFINISHED = '.new';

/** Runs it; what is not there is `otherwise`. */
const orAbsent = <T>(act: () => T, otherwise: T): T => {
  try {
    return act();
  } catch (error: any) {
    if (error.code != 'ENOENT') throw error;
    return otherwise;
  }
};

/** The path without links, also of what does not exist yet. */
const real = (path: string): string =>
  orAbsent(() => realpathSync(path), '') || join(real(dirname(path)), basename(path));

/** The key whose file it is; none of ours has another name. */
const decode = (name: string) => {
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
};

/** As browsers call it when there is no room. */
const named = (error: any) =>
  ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code) ? new DOMException(error.message, 'QuotaExceededError') : error;

/**
 * Writes the consent record where the old one stands, which takes no room: a refusal must not fail because what is to be
 * deleted for it fills the disk. Cut off in the middle it cannot be read, which is a "no" (C8).
 */
const overwrite = async (file: string, text: string) => {
  const old = await open(file, 'r+');
  await old
    .truncate(Buffer.byteLength(text))
    .then(() => old.write(text, 0))
    .then(() => old.sync())
    .finally(() => old.close());
};

export const openFolder = (dataDir: unknown, token: string, prefix: string) => {
  if (typeof dataDir != 'string' || !dataDir) throw Error('dataDir must be the path of a folder');
  // Tokens may differ in what file systems take for the same.
  const path = join(real(resolve(dataDir)), 'refrain-' + createHash('sha256').update('' + token).digest('hex').slice(0, 16));

  const names = () => orAbsent(() => readdirSync(path), []);
  const of = (name: string) => join(path, name);
  const fileOf = (key: string) => of(encodeURIComponent(key.slice(prefix.length)));
  /** The first folder that was not there, until it is durable with all below it. */
  let made: string | undefined;
  const make = () => {
    const first = mkdirSync(path, { recursive: true, mode: 0o700 });
    made ??= first;
  };
  const MIRROR = prefix + 'consent';

  /** Browsers' `Storage`, as far as it is used. The consent record needs no mirror: it can be read at any time. */
  const storage = {
    getItem: (key: string) => orAbsent(() => readFileSync(fileOf(key), 'utf8'), null),
    setItem: (key: string, value: string) => {
      if (key == MIRROR) return;
      make();
      try {
        writeFileSync(fileOf(key), value, { mode: 0o600 });
      } catch (error) {
        rmSync(fileOf(key), { force: true });
        throw error;
      }
    },
    removeItem: (key: string) => {
      if (key != MIRROR) orAbsent(() => unlinkSync(fileOf(key)), undefined);
    },
  };

  /** The names in a folder survive the power going off, where folders can be synced; up to that of `first`, too. */
  const sync = async (folder: string, first: string | undefined): Promise<void> => {
    if (process.platform == 'win32') return;
    const handle = await open(folder);
    await handle.sync().finally(() => handle.close());
    if (first !== undefined) await sync(dirname(folder), folder == first ? undefined : first);
  };

  const records: Records = {
    read: async (key: Key) => {
      try {
        return await readFile(of(key), 'utf8');
      } catch (error: any) {
        return error.code == 'ENOENT' ? undefined : '';
      }
    },
    write: async (key: Key, text: string) => {
      make();
      const unfinished = of(key + UNFINISHED);
      try {
        const file = await open(unfinished, 'w', 0o600);
        await file.writeFile(text).then(() => file.sync()).finally(() => file.close());
        await rename(unfinished, of(key));
      } catch (error) {
        await rm(unfinished, { force: true }).catch(() => {});
        if (key != 'consent') throw named(error);
        await overwrite(of(key), text).catch(() => {
          throw named(error);
        });
      }
      await sync(path, made);
      made = undefined;
    },
    remove: (key: Key) => rm(of(key), { force: true }),
  };

  return {
    path,
    storage: storage as Storage,
    records,
    /** The keys of the storage. */
    keys: () => names().flatMap((name) => decode(name) ?? []).map((key) => prefix + key),
    files: () => names().map(of),
    /** Deletes what somebody was writing who was killed. */
    open: () => {
      try {
        for (const name of names()) {
          if (name.endsWith(UNFINISHED)) rmSync(of(name), { force: true });
        }
      } catch (error: any) {
        throw Error('dataDir cannot be used: ' + error.message);
      }
    },
  };
};
