// The host that a browser is: a page, or a worker, which has less of everything.

import { load as drive, prefixOf } from './driver.js';
import type { Heard, Instantiate, Key } from './host.js';
import { openRecords } from './records.js';
import type { Options } from './types.js';

/** Whether there is a page to look at, and to leave. */
const page = typeof document != 'undefined';

/**
 * A storage that is gone with its worker. Its keys are its own properties. It keeps no mirror of the consent record:
 * only a page that leaves needs one, and there is none to compare it with.
 */
const memory: object = {
  getItem(this: Record<string, string>, key: string) {
    return this[key] ?? null;
  },
  setItem(this: Record<string, string>, key: string, value: string) {
    if (!key.endsWith(':consent')) this[key] = value;
  },
  removeItem(this: Record<string, string>, key: string) {
    delete this[key];
  },
};

/** The names of this page's queues. */
const here = new Set<string>();

const storage = (name: 'localStorage' | 'sessionStorage'): Storage | undefined => {
  if (!page) return Object.create(memory);
  try {
    return window[name];
  } catch {
    return undefined;
  }
};

/**
 * Whether there is WebAssembly that the page's policy and the browser let us use: an instance of an idle module tells.
 * Chromium before 115 makes none in a page of more than 4,096 bytes at once, so the module has more.
 */
const assembles = () => {
  try {
    const probe = new Uint8Array(4107);
    // The header, and a section of 4,096 bytes that nobody reads.
    probe.set([0, 97, 115, 109, 1, 0, 0, 0, 0, 128, 32]);
    return !!new WebAssembly.Instance(new WebAssembly.Module(probe));
  } catch {
    return false;
  }
};

const compile = async (options: Options): Promise<Instantiate> => {
  if (!assembles()) return (await import('../wasm/plain.js')).default;
  let wasm = options.wasm as WebAssembly.Module | undefined;
  if (!wasm) {
    // Not asked for in vain: a script that was bundled into one has no address.
    let at: string | URL | undefined;
    const get = () => fetch((at = options.wasmUrl ?? new URL('./refrain_wasm_bg.wasm', import.meta.url)));
    try {
      wasm = await WebAssembly.compileStreaming(get());
    } catch {
      try {
        // A server that sends it under another type.
        wasm = await WebAssembly.compile(await (await get()).arrayBuffer());
      } catch (error) {
        throw Error(`no module at ${at}, see wasmUrl and connect-src: ${(error as Error).message}`);
      }
    }
  }
  return (imports) => new WebAssembly.Instance(wasm!, imports);
};

const signals = () => {
  const { globalPrivacyControl, doNotTrack } = navigator as { globalPrivacyControl?: boolean; doNotTrack?: string };
  return +!!globalPrivacyControl + 2 * +/^(1|yes)$/.test(doNotTrack ?? '');
};

export const load = async (token: string, options: Options = {}) => {
  if (!page && !globalThis.indexedDB) throw Error('there is no page here');
  // Nobody sees it yet, and perhaps nobody ever will.
  if (page && (document as { prerendering?: boolean }).prerendering) {
    await new Promise((seen) => document.addEventListener('prerenderingchange', seen, { once: true }));
  }
  const prefix = prefixOf(token);
  const name = 'refrain:' + token;
  const local = storage('localStorage');
  const session = storage('sessionStorage');
  const records = openRecords(name);

  let channel: BroadcastChannel | undefined;
  let changed: Heard['changed'];
  const listen = () => {
    try {
      channel = new BroadcastChannel(prefix);
      channel.onmessage = ({ data }) => changed(data);
    } catch {
      // Firefox has none where storing is forbidden: there is nobody to tell.
    }
  };

  return drive(token, options, {
    local,
    mirrored: page,
    session,
    keys: () => Object.keys(local ?? {}),
    records,
    locks: navigator.locks,
    // A window that another one has opened begins with a copy of its store, and frames share one.
    shared: page && (!!opener || top != self),
    here,
    signals,
    compile,
    online: () => navigator.onLine,
    hear: (heard, signal) => {
      const on = (target: EventTarget, type: string, act: (event: any) => void) =>
        target.addEventListener(type, act, { signal });
      changed = heard.changed;
      listen();
      on(globalThis as any, 'online', heard.online);
      if (!page) return;
      on(document, 'visibilitychange', () => heard.view(document.hidden));
      on(window, 'pagehide', heard.leave);
      on(window, 'pageshow', ({ persisted }) => {
        if (!persisted) return;
        listen();
        heard.resume();
      });
      on(window, 'storage', ({ key }) => {
        if (key === null || key == prefix + 'consent') changed('consent');
        if (key == prefix + 'no') heard.refused();
      });
    },
    tell: (key) => channel?.postMessage(key),
    items: async (queue) => {
      for (const key of ['consent', 'no']) if (local?.getItem(prefix + key) != null) queue.push(prefix + key);
      const items = queue.map((key) => (page ? 'localStorage ' : 'memory ') + key);
      if (session?.getItem(prefix + 'tab')) items.push((page ? 'sessionStorage ' : 'memory ') + prefix + 'tab');
      for (const key of ['consent', 'identity'] as Key[]) {
        const copy = await records.read(key);
        if (copy !== undefined) items.push('indexedDB ' + name + ' ' + key + (copy ? '' : ' (unreadable)'));
      }
      return items;
    },
    close: () => {
      records.close();
      channel?.close();
      channel = undefined;
    },
  }).catch((error) => {
    // Few look at `ready`.
    console.warn('refrain: nothing is collected: ' + error.message);
    throw error;
  });
};
