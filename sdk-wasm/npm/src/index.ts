// The entry. It takes calls at once, with their moment, and passes them on when the module has loaded. Importing it
// touches nothing, so that it can be imported where there is no page.

import type { Client } from './client';
import { Turn } from './turns';
import type { Consent, Options, Profile, Refrain, Rejected, Result } from './types';

export type { Audit, Consent, Options, Profile, Refrain, Rejected, Result, Stats } from './types';

/** Calls that may wait for the module. */
const WAITING = 1000;

/** Starts a client for a project. Returns at once and never throws; `ready` says how it went. */
export const init = (token: string, options: Options = {}): Refrain => {
  let client: Client | undefined;
  let dead: Rejected | undefined;
  const waiting: ((client: Client) => unknown)[] = [];

  const call = (kind: number, first?: unknown, properties?: unknown): Result => {
    let text;
    try {
      text = properties == null ? '{}' : '' + JSON.stringify(properties);
    } catch (error) {
      return { rejected: 'not_json', hint: '' + error };
    }
    try {
      // A name that is no string is no name.
      const one = typeof first == 'string' ? first : '';
      const two = typeof properties == 'string' ? properties : text;
      if (client) return client.call(kind, one, two);
      if (dead || waiting.length >= WAITING) return dead || { rejected: 'hold_full', hint: 'too many calls wait for the module' };
      const [wall, mono] = [Date.now(), performance.now()];
      waiting.push((loaded) => loaded.call(kind, one, two, wall, mono));
      return 'held';
    } catch (error) {
      return { rejected: 'broken', hint: '' + error };
    }
  };

  const profile = (kind: number, of?: object): Profile => {
    const apply = (operator: string) => (value?: unknown) => call(kind, 0, { ...of, ['$' + operator]: value ?? '' });
    return {
      set: apply('set'),
      setOnce: apply('set_once'),
      add: apply('add'),
      append: apply('append'),
      union: apply('union'),
      remove: apply('remove'),
      unset: (...names) => apply('unset')(names),
      delete: apply('delete'),
    };
  };

  const later = <T>(work: (client: Client) => T | Promise<T>): Promise<T> =>
    new Promise((done, fail) => {
      const run = (loaded: Client) => {
        try {
          done(work(loaded));
        } catch (error) {
          fail(error);
        }
      };
      if (client) run(client);
      else if (dead) fail(Error(dead.hint));
      else waiting.push(run), ready.catch(fail);
    });

  const ready = (async () => {
    try {
      if (typeof document == 'undefined') throw Error('there is no page here');
      const loaded = (await import('./client')).load(token, options);
      const [started, settled] = await loaded;
      client = started;
      for (const work of waiting.splice(0)) work(client);
      await settled();
    } catch (error) {
      dead = { rejected: 'not_loaded', hint: '' + error };
      throw error;
    }
  })();
  // Whoever does not look must not get an error for it.
  ready.catch(() => {});

  const consent = (): Consent =>
    client
      ? client.consent()
      : { decision: 'unset', verdict: 'hold', reason: 'default', sentence: 'Waiting: nothing is stored or sent yet.' };

  return {
    ready,
    track: (name, properties) => call(0, name, properties),
    identify: (user) => call(1, user),
    reset: () => call(2),
    register: (properties) => call(3, 0, properties),
    registerOnce: (properties) => call(4, 0, properties),
    registerForSession: (properties) => call(5, 0, properties),
    unregister: (name) => call(6, name),
    switchUser: (user) => call(7, user),
    alias: (alias) => call(8, alias),
    timeEvent: (name) => call(9, name),
    profile: () => profile(10),
    group: (key, id) => profile(11, { $group_key: key, $group_id: id }),
    setGroup: (key, id) => call(12, key, id),
    addGroup: (key, id) => call(13, key, id),
    removeGroup: (key, id) => call(14, key, id),
    optIn: () => later((loaded) => loaded.choose(Turn.OptIn)),
    optOut: (how) => later((loaded) => loaded.choose(Turn.OptOut + +!!how?.erase + 2 * +!!how?.deleteProfile)),
    consent,
    hasOptedOut: () => consent().decision == 'denied',
    audit: () => later((loaded) => loaded.audit()),
    stats: () => client?.stats(),
    distinctId: () => client?.distinctId(),
    deviceId: () => client?.deviceId(),
    flush: () => later((loaded) => loaded.flush()),
    shutdown: (timeout) => later((loaded) => loaded.shutdown(timeout)),
  };
};
