// What an application holds. It takes calls at once, with their moment, and passes them on when the module has loaded.

import type { Client } from './driver.js';
import { Turn } from './turns.js';
import type { Consent, OptOut, Options, Profile, Refrain, Rejected, Result } from './types.js';

/** Calls that end later. */
type Slow = 'choose' | 'audit' | 'flush' | 'shutdown' | 'signals';

/** What starts a client where it runs, loaded when it is needed. */
interface Loader {
  load(token: string, options?: Options): Promise<Client>;
}

/** `storage` is where a refusal stands from the call on, if the caller may be gone before a client can hear of it. */
export const entry = (loader: () => Promise<Loader>, storage?: () => Storage) => (token: string, options?: Options): Refrain => {
  let client: Client | undefined;
  let dead: Rejected | undefined;
  /** The person's last word, if it was a no, with all wishes so far, while the module cannot hear of it. */
  let no = 0;
  /** Characters that may wait for the module, with some for each call: 10,000 calls of nine hundred. */
  let room = 1e7;
  /** Calls that were refused here. */
  let refused = 0;
  /** What to do when there is a client. */
  const waiting: (() => unknown)[] = [];

  const refuse = (rejected: string, hint = 'wait'): Rejected => (refused++, { rejected, hint });

  const call = (kind: number, first?: unknown, second?: unknown): Result => {
    let text: string;
    try {
      text = '' + JSON.stringify(second);
    } catch (error: any) {
      // Anything may be thrown.
      return refuse('not_json', error?.message);
    }
    if (client) return client.call(kind, first, second, text);
    if (dead) return dead;
    if (no || room < 0) return refuse(no ? 'denied' : 'hold_full');
    room -= 99 + text.length;
    const at = [Date.now(), performance.now()] as const;
    waiting.push(() => client!.call(kind, first, second, text, ...at));
    return 'held';
  };

  const profile = (
    kind: number,
    of?: object,
    apply = (operator: string) => (value: unknown = '') => call(kind, 0, { ...of, ['$' + operator]: value }),
  ): Profile => ({
    delete: apply('delete'),
    remove: apply('remove'),
    append: apply('append'),
    add: apply('add'),
    setOnce: apply('set_once'),
    set: apply('set'),
    union: apply('union'),
    unset: (...names) => apply('unset')(names),
  });

  /**
   * What the client does when it is there; none of this throws. Where that can take long, in a page, it is waited for so
   * many milliseconds at most; and what an app may wait for before it goes on does not fail where no client comes.
   */
  const later = <T>(name: Slow, how?: unknown, patience?: number): Promise<T> => {
    if (client) return (client[name] as (how: unknown) => Promise<T>)(how);
    const ending = new Promise<any>((done, fail) => {
      waiting.push(() => done((client![name] as (how: unknown) => Promise<T>)(how)));
      ready.catch(fail);
      storage && patience! < 1e9 && setTimeout(done, patience, false);
    });
    // Whoever does not look must not get an error for it.
    const never = ending.catch(() => false);
    return patience! >= 0 ? never : ending;
  };

  const ready = (async () => {
    // As they are now: the object is the app's. What is wrong with it is said later.
    options &&= { ...options };
    client = await (await loader()).load(token, options);
    return client.settled(waiting.splice(0));
  })();
  // Whoever does not look must not get an error for it.
  ready.catch((error) => {
    waiting.splice(0);
    dead = refuse('not_loaded', error.message);
  });

  const choose = (refuses?: 1, how?: OptOut | null) => {
    no = refuses ? no | (Turn.OptOut + <any>!!how?.erase + 2 * <any>!!how?.deleteProfile) : 0;
    try {
      // The page may be left before there is a client, which reads this when it starts.
      client ?? (storage!()[`refrain:${token}:no`] = no);
    } catch {
      // There is none, it is denied to us, or full.
    }
    return later<void>('choose', [refuses, how]);
  };

  const consent = (): Consent =>
    client?.consent() ?? {
      decision: no ? 'denied' : 'unset',
      verdict: no || dead ? 'deny' : 'hold',
      reason: no ? 'person' : dead?.rejected ?? 'default',
      sentence: no ? 'Not collecting: you have objected.' : 'Not collecting.',
    };

  return {
    // In an order that compresses well.
    track: (name, properties) => call(0, name, properties),
    removeGroup: (key, id) => call(14, key, id),
    reset: () => call(2),
    hasOptedOut: () => consent().decision == 'denied',
    audit: () => later('audit'),
    addGroup: (key, id) => call(13, key, id),
    ready,
    setGroup: (key, id) => call(12, key, id),
    registerOnce: (properties) => call(4, 0, properties),
    registerForSession: (properties) => call(5, 0, properties),
    register: (properties) => call(3, 0, properties),
    alias: (alias) => call(8, alias),
    identify: (user) => call(1, user),
    timeEvent: (name) => call(9, name),
    stats: () => client?.stats(refused),
    unregister: (name) => call(6, name),
    switchUser: (user) => call(7, user),
    group: (key, id) => profile(11, { $group_key: key, $group_id: id }),
    flush: (timeout = 1e4) => later('flush', timeout, timeout),
    shutdown: (timeout = 2e3) => later('shutdown', timeout, timeout),
    signals: (signals) => later('signals', signals),
    optIn: () => choose(),
    optOut: (how) => choose(1, how),
    profile: () => profile(10),
    deviceId: () => client?.deviceId(),
    distinctId: () => client?.distinctId(),
    consent,
  };
};
