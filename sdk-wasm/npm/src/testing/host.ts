// The host that a test is: a page whose stores are in memory, with nobody beside it.

import instantiate from '../../wasm/plain.js';
import { load as drive, prefixOf } from '../driver.js';
import type { Heard, Key, Records } from '../host.js';
import type { Options } from '../types.js';

class Memory implements Storage {
  readonly #items = new Map<string, string>();
  get length() {
    return this.#items.size;
  }
  key = (at: number) => [...this.#items.keys()][at] ?? null;
  keys = () => [...this.#items.keys()];
  getItem = (key: string) => this.#items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.#items.set(key, value);
  removeItem = (key: string) => void this.#items.delete(key);
  clear = () => this.#items.clear();
}

/** Everything that a page keeps: what is there when it is opened again. */
export class Stores {
  readonly local = new Memory();
  readonly session = new Memory();
  /** The names of the page's queues. */
  readonly here = new Set<string>();
  readonly #records = new Memory();

  recordsOf(token: string): Records {
    const name = (key: Key) => prefixOf(token) + key;
    return {
      read: async (key) => this.#records.getItem(name(key)) ?? undefined,
      write: async (key, text) => this.#records.setItem(name(key), text),
      remove: async (key) => this.#records.removeItem(name(key)),
    };
  }

  items = (): string[] => [
    ...this.local.keys().map((key) => 'localStorage ' + key),
    ...this.session.keys().map((key) => 'sessionStorage ' + key),
    ...this.#records.keys().map((key) => 'indexedDB ' + key),
  ];
}

/** Starts clients in a page with these stores and signals; tells which happenings each of them hears of. */
export const loader = (stores: Stores, signals: number, hears: (heard: Heard) => void) => ({
  load: (token: string, options: Options = {}) =>
    drive(token, options, {
      local: stores.local,
      session: stores.session,
      keys: () => stores.local.keys(),
      records: stores.recordsOf(token),
      locks: undefined,
      here: stores.here,
      signals: () => signals,
      mirrored: true,
      compile: async () => instantiate,
      online: () => false,
      hear: (heard, until) => until.aborted || hears(heard),
      tell: () => {},
      items: async () => stores.items(),
      close: () => {},
    }),
});
