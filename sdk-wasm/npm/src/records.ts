// The two records in IndexedDB: the store whose reads are ordered after other tabs' finished writes.

import type { Key, Records } from './host.js';

const STORE = 'records';

/** A database that does not answer in this time, in milliseconds, cannot be read until it does. */
const PATIENCE = 5_000;

export const openRecords = (name: string): Required<Records> => {
  let open: Promise<IDBDatabase | undefined> | undefined;

  const connect = (create: boolean) =>
    new Promise<IDBDatabase | undefined>((done, fail) => {
      const request = indexedDB.open(name);
      let absent = false;
      request.onupgradeneeded = () => {
        if (create) {
          request.result.createObjectStore(STORE);
        } else {
          // Looking must not make a database: without this one version there is none.
          absent = true;
          request.transaction!.abort();
        }
      };
      request.onsuccess = () => {
        const database = request.result;
        database.onversionchange = database.onclose = close;
        done(database);
      };
      request.onerror = (event) => {
        event.preventDefault();
        if (absent) done(undefined);
        else fail(request.error);
      };
    });

  const close = () => {
    open?.then((database) => database?.close(), () => {});
    open = undefined;
  };

  /** Whether there is surely no database. WebKit leaves an empty one where opening one is broken off. */
  const missing = async () => {
    // Chromium complains twice where there is no origin, once to nobody.
    if (self.origin == 'null') return false;
    const all = await indexedDB.databases?.();
    return !!all && all.every((database) => database.name != name);
  };

  type Act<T> = (store: IDBObjectStore) => IDBRequest<T>;
  /** Whether somebody waits for an answer that did not come in time. */
  let stuck = false;
  const run = <T>(create: boolean, act: Act<T>) =>
    new Promise<T | undefined>((done, fail) => {
      if (stuck) return fail();
      const late = setTimeout(() => {
        stuck = true;
        fail();
      }, PATIENCE);
      attempt(create, act)
        .then(done, fail)
        .finally(() => {
          stuck = false;
          clearTimeout(late);
        });
    });

  const attempt = async <T>(create: boolean, act: Act<T>): Promise<T | undefined> => {
    for (let tries = 0; ; tries++) {
      try {
        if (!create && !open && (await missing())) return undefined;
        const database = await (open ??= connect(create));
        if (database) {
          return await new Promise((done, fail) => {
            // A choice must survive the power going off, as far as the browser lets us ask for it.
            const transaction = database.transaction(STORE, create ? 'readwrite' : 'readonly', { durability: 'strict' });
            const request = act(transaction.objectStore(STORE));
            transaction.oncomplete = () => done(request.result);
            transaction.onabort = () => fail(transaction.error);
          });
        }
        open = undefined;
        if (!create) return undefined;
      } catch (error) {
        // A connection may have been closed under us; a second one tells.
        close();
        if (tries) throw error;
      }
    }
  };

  return {
    close,
    /** The record's text; an empty one if it cannot be read. */
    read: async (key: Key): Promise<string | undefined> => {
      try {
        const value = await run(false, (store) => store.get(key));
        return value === undefined || typeof value == 'string' ? value : '';
      } catch {
        return '';
      }
    },
    write: (key: Key, text: string) => run(true, (store) => store.put(text, key)),
    remove: (key: Key) => run(true, (store) => store.delete(key)),
  };
};
