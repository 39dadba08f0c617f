// The entry. It takes calls at once, with their moment, and passes them on when the module has loaded. Importing it
// touches nothing, so that it can be imported where there is no page.

import type { Client } from './client';
import type { Consent, Options, Refrain, Rejected, Result } from './types';

export type { Audit, Consent, Options, Refrain, Rejected, Result, Stats } from './types';

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
      const name = typeof first == 'string' ? first : '';
      const [one, two] = kind == 4 || kind == 5 ? [text, ''] : [name, text];
      if (client) return client.call(kind, one, two);
      if (dead || waiting.length >= WAITING) return dead || { rejected: 'hold_full', hint: 'too many calls wait for the module' };
      const [wall, mono] = [Date.now(), performance.now()];
      waiting.push((loaded) => loaded.call(kind, one, two, wall, mono));
      return 'held';
    } catch (error) {
      return { rejected: 'broken', hint: '' + error };
    }
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
    track: (name, properties) => call(1, name, properties),
    identify: (user) => call(2, user),
    reset: () => call(3),
    register: (properties) => call(4, 0, properties),
    registerOnce: (properties) => call(5, 0, properties),
    unregister: (name) => call(6, name),
    optIn: () => later((loaded) => loaded.choose(7)),
    optOut: (how) => later((loaded) => loaded.choose(how?.erase ? 9 : 8)),
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
