// What an application holds. It takes calls at once, with their moment, and passes them on when the module has loaded.

import type { Client } from './driver.js';
import { Turn } from './turns.js';
import type { Consent, Options, Profile, Refrain, Rejected, Result } from './types.js';

/** Calls that end later. */
type Slow = 'choose' | 'audit' | 'flush' | 'shutdown' | 'signals';

/** What starts a client where it runs, loaded when it is needed. */
interface Loader {
  load(token: string, options: Options): Promise<readonly [client: Client, settled: () => Promise<void> | undefined]>;
}

export const entry = (loader: () => Promise<Loader>) => (token: string, options: Options = {}): Refrain => {
  let client: Client | undefined;
  let dead: Rejected | undefined;
  /** Whether the person's last word was a no, while the module cannot hear of it. */
  let no = false;
  /** Characters that may wait for the module, with some for each call: 10,000 calls of nine hundred. */
  let room = 1e7;
  /** Calls that were refused here. */
  let refused = 0;
  const waiting: ((client: Client) => unknown)[] = [];

  const refuse = (rejected: string, hint = 'call again later'): Rejected => (refused++, { rejected, hint });

  const call = (kind: number, first?: unknown, second?: unknown): Result => {
    let text: string;
    try {
      text = JSON.stringify(second) + '';
    } catch (error: any) {
      // Anything may be thrown, and not everything becomes a text.
      return refuse('not_json', error?.message ?? 'JSON cannot hold it');
    }
    if (client) return client.call(kind, first, second, text);
    if (dead) return dead;
    if (no || room < 0) return refuse(no ? 'denied' : 'hold_full');
    room -= 99 + text.length;
    const at = [Date.now(), performance.now()] as const;
    waiting.push((loaded) => loaded.call(kind, first, second, text, ...at));
    return 'held';
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
      // Made one list where it is caught what comes of it.
      unset: (...names) => apply('unset')({ toJSON: () => names.flat() }),
      delete: apply('delete'),
    };
  };

  /** What the client does when it is there; none of this throws. */
  const later = <T>(name: Slow, one?: unknown, two?: unknown): Promise<T> =>
    new Promise((done, fail) => {
      const run = (loaded: Client) => done((loaded[name] as (one: unknown, two: unknown) => Promise<T>)(one, two));
      if (client) run(client);
      else dead || waiting.push(run), ready.catch(fail);
    });

  const ready = (async () => {
    try {
      const [started, settled] = await (await loader()).load(token, options);
      client = started;
      for (const work of waiting.splice(0)) work(client);
      await settled();
    } catch (error: any) {
      dead = { rejected: 'not_loaded', hint: '' + error?.message };
      waiting.length = 0;
      throw error;
    }
  })();
  // Whoever does not look must not get an error for it.
  ready.catch(() => {});

  const choose = (turn: number, how?: Parameters<Refrain['optOut']>[0]) => {
    no = turn != Turn.OptIn;
    return later<void>('choose', turn, how);
  };

  const consent = (): Consent =>
    client?.consent() ?? {
      decision: no ? 'denied' : 'unset',
      verdict: no || dead ? 'deny' : 'hold',
      reason: no ? 'person' : dead ? 'not_loaded' : 'default',
      sentence: no ? 'Not collecting: you have objected.' : 'Nothing is stored or sent.',
    };

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
    optIn: () => choose(Turn.OptIn),
    optOut: (how) => choose(Turn.OptOut, how),
    signals: (signals) => later('signals', signals),
    consent,
    hasOptedOut: () => consent().decision == 'denied',
    audit: () => later('audit'),
    stats: () => client?.stats(refused),
    distinctId: () => client?.distinctId(),
    deviceId: () => client?.deviceId(),
    flush: (timeout) => later('flush', timeout),
    shutdown: (timeout) => later('shutdown', timeout),
  };
};
