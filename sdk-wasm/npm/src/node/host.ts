// The host that Node is. One process owns a project's data folder, so that nothing is shared and nothing need be locked
// or told; without a folder nothing can be kept, which is a "no" until the person decides (C8).

import { readFile } from 'node:fs/promises';
import { load as drive, prefixOf } from '../driver.js';
import { NO_ENDPOINT } from '../settings.js';
import type { Options } from '../types.js';
import { openFolder } from './folder.js';
import { own } from './owner.js';

const compile = async ({ wasm, wasmUrl: at }: Options) => {
  let module = wasm as WebAssembly.Module | undefined;
  try {
    // A script that was bundled into one of CommonJS has no address.
    module ??= await WebAssembly.compile(await readFile((at ??= new URL('./refrain_wasm_bg.wasm', import.meta.url))));
  } catch (error) {
    const place = at ? 'at ' + at : 'in this bundle';
    throw Error(`no module ${place}: keep the package external, or pass wasm or wasmUrl: ${(error as Error).message}`);
  }
  return (imports: WebAssembly.Imports) => new WebAssembly.Instance(module, imports);
};

const start = async (token: string, options: Options = {}) => {
  const { dataDir, endpoint } = options;
  // There is no page whose address would complete it.
  if (typeof endpoint == 'string' && !/^\s*http/i.test(endpoint)) throw Error(NO_ENDPOINT);
  const folder = dataDir === undefined ? undefined : openFolder(dataDir, token, prefixOf(token));
  const release = folder && (await own(folder.path));
  try {
    folder?.open();
    return await drive(token, { ...options, queueLimitBytes: options.queueLimitBytes ?? QUEUE_BYTES }, {
      local: folder?.storage,
      session: undefined,
      only: 'one',
      keys: () => folder?.keys() ?? [],
      records: folder?.records ?? NO_RECORDS,
      locks: undefined,
      signals: () => 0,
      compile,
      // There are no preflights here.
      online: () => false,
      hear: ({ persist }, until) => {
        // A server that renders pages may make a client for each of them, with nothing to write down.
        if (!folder) return;
        atExit(persist, until);
      },
      tell: () => {},
      items: async () => folder?.files() ?? [],
      idle: (timer) => void (timer as unknown as NodeJS.Timeout).unref(),
      close: () => release?.(),
    });
  } catch (error) {
    release?.();
    throw error;
  }
};

const persisting = new Set<() => void>();
const persistAll = () => persisting.forEach((persist) => persist());
/** Has it done when the process exits. All of them are one listener: Node warns of a leak where there are more than ten. */
const atExit = (persist: () => void, until: AbortSignal) => {
  if (!persisting.size) process.on('exit', persistAll);
  persisting.add(persist);
  until.addEventListener('abort', () => {
    persisting.delete(persist);
    if (!persisting.size) process.off('exit', persistAll);
  });
};

let warned: string | undefined;

export const load = (token: string, options?: Options) =>
  start(token, options).catch((error) => {
    // Few look at `ready`. A server that makes many clients says it once.
    if (error.message != warned) console.warn('refrain: nothing is collected: ' + (warned = error.message));
    throw error;
  });

/** As in the other programs that have a folder to themselves. */
const QUEUE_BYTES = 10 << 20;

const nowhere = async () => {
  throw Error('there is no dataDir');
};
const NO_RECORDS = { read: async () => '', write: nowhere, remove: nowhere };
