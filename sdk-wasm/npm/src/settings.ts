// The options of `init`: their names in a browser, their defaults there, and what is wrong with them.

import type { Options, Signals } from './types.js';
import { HALF } from './values.js';

/** `localStorage` holds about 5 MB for the whole site, in two bytes a character: most of it must stay the site's. */
const QUEUE_BYTES = 1 << 20;
const DAY = 86_400_000;

export const NO_ENDPOINT = 'endpoint must be an address, such as https://collector.example';

const flag = (name: string, value: unknown) => {
  if (value !== !!value) throw Error(name + ' must be true or false');
  return +value;
};

/** What the app says beside the browser: 1 Global Privacy Control, 2 Do Not Track, 4 its own, their sum. */
export const said = ({ gpc = false, dnt = false, host = false }: Signals = {}) =>
  flag('gpc', gpc) + 2 * flag('dnt', dnt) + 4 * flag('host', host);

/** All there are. */
const OPTIONS =
  'endpoint,defaultConsent,honorGpc,honorDnt,signals,flushInterval,batchSize,queueLimitBytes,queueLimitAge,gzip,idMerge,denyList,filter,onConsent,personalData,personalDataAllow,wasmUrl,wasm,dataDir';

/**
 * The collector's address, whether to pack, what is done about personal data and under which names it may stand, and what the
 * module is opened with. Throws for what cannot be: an option that is misspelt could be the one that keeps the client from
 * collecting.
 */
export const settings = (token: unknown, options: Options, signals: number) => {
  for (const name of Object.keys(options)) if (!OPTIONS.split(',').includes(name)) throw Error(`no option ${name}; there are: ${OPTIONS}`);
  const text = (name: string, value: unknown) => {
    if (typeof value != 'string' || HALF.test(value)) throw Error(name + ' must be a text');
    return value;
  };
  text('token', token);
  for (const name of ['filter', 'onConsent'] as const) {
    if (options[name] && typeof options[name] != 'function') throw Error(name + ' must be a function');
  }
  const word = (name: 'defaultConsent' | 'idMerge' | 'personalData', ...words: string[]) => {
    const at = words.indexOf(options[name] ?? words[0]!);
    if (at < 0) throw Error(`${name} must be one of: ${words}`);
    return at;
  };
  const whole = (name: 'flushInterval' | 'batchSize' | 'queueLimitBytes' | 'queueLimitAge', otherwise: number, least = 1, most = 2 ** 53) => {
    const value = options[name] ?? otherwise;
    if (!(Number.isInteger(value) && value >= least && value <= most)) throw Error(`${name} must be a whole number from ${least} to ${most}`);
    return value;
  };
  const names = (of: 'denyList' | 'personalDataAllow') => {
    const list: unknown = options[of] ?? [];
    // They go to the module as lines.
    if (!Array.isArray(list) || /\n/.test('' + list)) throw Error(of + ' must be a list of names, without line breaks');
    return list.map((name) => text(of, name) + '\n').join('');
  };
  // A `<base>` must not point it elsewhere; where a page has no address, its parent's is the base.
  const origin = globalThis.location?.origin.replace(/^null$/, '');
  const endpoint = text('endpoint', options.endpoint ?? origin).replace(/^\s*(?=$|\/(?!\/))/, origin ?? '');
  // A host without a scheme would be taken for one, or for a path; what has a user, a query or a fragment is never reached.
  if (!/^\s*(https?:\/\/[^/?#@]+)?(\/[^?#]*)?$/i.test(endpoint)) throw Error(NO_ENDPOINT);
  return [
    endpoint,
    !!flag('gzip', options.gzip ?? true),
    word('personalData', 'off', 'observe', 'redact', 'reject'),
    names('personalDataAllow'),
    word('defaultConsent', 'pending', 'granted', 'denied'),
    !!word('idMerge', 'simplified', 'original'),
    flag('honorGpc', options.honorGpc ?? true) + 2 * flag('honorDnt', options.honorDnt ?? true),
    // What the browser says counts, whatever the app says.
    signals | said(options.signals),
    whole('flushInterval', 5000, 0),
    whole('batchSize', 50, 1, 2000),
    whole('queueLimitBytes', QUEUE_BYTES),
    whole('queueLimitAge', 5 * DAY),
    names('denyList'),
  ] as const;
};
