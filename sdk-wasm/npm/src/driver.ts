// The driver: it executes what the engine wants done, in whatever host, and decides nothing.

import { Core, initSync } from '../wasm/refrain_wasm.js';
import { books } from './books.js';
import type { Host, Key } from './host.js';
import { openLocks } from './locks.js';
import { openQueue } from './queue.js';
import { openRequests } from './requests.js';
import { said, settings } from './settings.js';
import { Turn } from './turns.js';
import type { Audit, Consent, ConsentError, OptOut, Options, Rejected, Result, Signals, Stats } from './types.js';
import { filtered, texts } from './values.js';

export type Client = Awaited<ReturnType<typeof load>>;

/** The longest that a timer waits, in milliseconds: anything above counts as nothing. */
const FAR = 2 ** 31 - 1;

/** What is longer, in characters, is refused whatever it is: all of it might not fit into the module's memory. */
const LONGEST = 2e6;

/** An error of a choice; its text begins with a word for programs. */
const fault = (text: string): ConsentError => Object.assign(Error(text), { code: text.split(':')[0] as ConsentError['code'] });

/** Whoever does not look must not get an error for it: in Node one that nobody has looked at ends the process. */
const quiet = <T>(promise: Promise<T>) => {
  promise.catch(() => {});
  return promise;
};

/** The prefix of a project's keys. */
export const prefixOf = (token: string) => `refrain:${token}:`;

export const load = async (token: string, options: Options, host: Host) => {
  const [endpoint, gzip, personal, allowed, ...set] = settings(token, options, host.signals());
  // What is passed makes the instance; the glue's types do not know it.
  initSync({ module: (await host.compile(options)) as never });

  const prefix = prefixOf(token);
  const { records } = host;
  const core = Core.open(token, host.local, ...set)!;
  if (!core) throw Error('this cannot work: is the token empty?');
  const fresh = crypto.getRandomValues(new Uint32Array(2)).join('');
  const queue = openQueue(prefix, host, fresh);
  const locks = openLocks(prefix, host.locks, host.shared, host.here);
  const request = openRequests(endpoint, gzip, host.online);

  const tickets = new Map<number, [() => void, (error: Error) => void]>();
  let choosing: Promise<unknown> | undefined;
  const flushes = new Map<number, readonly [until: number, done: (all: boolean) => void]>();
  /** Who waits until no erasure is on its way. */
  const ending: (() => void)[] = [];
  const underway = new Map<number, AbortController>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = -1;
  let storing: Promise<void> | undefined;
  let leaving = false;
  let over = false;

  const turn = (what: number, x = 0, y = 0, one?: string, two?: string) => core.turn(what, one, two, x, y);
  /** The same at this moment: something has happened, or has ended. */
  const tell = (what: number, x?: number, y?: number, one?: string, two?: string) => {
    turn(Turn.At, Date.now(), performance.now());
    return turn(what, x, y, one, two);
  };
  const number = () => turn(Turn.Number);
  if (personal && !turn(Turn.Personal, personal, 0, allowed)) {
    throw Error('personalData needs a module that was built with it: cargo xtask wasm --features personal-data');
  }
  /** What the app says beside the browser. */
  let other = said(options.signals);
  const signal = () => tell(Turn.Signals, host.signals() | other);
  const read = (what: number) => (turn(Turn.Read, what) ? core.text() : undefined);

  let warned: string | undefined;
  const warn = (text: string) => {
    try {
      if (text != warned) console.warn('refrain: ' + (warned = text));
    } catch {
      // An app's console may do anything; whoever says something has more to do.
    }
  };

  /** Does everything that the engine wants done. Due after whatever may have changed something. */
  const pump = () => {
    for (let kind; (kind = turn(Turn.Next)); ) {
      const of = number();
      if (kind == 1) {
        send(of);
      } else if (kind == 7) {
        ask(of);
      } else if (kind == 2) {
        underway.get(of)?.abort();
      } else if (kind < 5) {
        const [done, fail] = tickets.get(of) ?? [];
        tickets.delete(of);
        if (kind == 3) done?.();
        else fail?.(fault(core.text()));
      } else if (kind == 8) {
        // Not here: the app may call back.
        Promise.resolve(client.consent())
          .then(options.onConsent)
          .catch((error) => warn('onConsent throws ' + error));
      } else {
        warn(kind == 5 ? `the collector answers ${of}: check the token and the endpoint; sending is paused` : core.text());
      }
    }
    flushes.forEach(([until, done], mark) => {
      const state = turn(Turn.Flushed, mark, until);
      if (state) {
        flushes.delete(mark);
        done(state == 1);
      }
    });
    if (ending.length && !turn(Turn.Erasing)) for (const done of ending.splice(0)) done();
    const wakeup = over ? -1 : turn(Turn.Wakeup);
    if (wakeup != due) {
      due = wakeup;
      clearTimeout(timer);
      timer = due < 0 ? undefined : setTimeout(tick, Math.min(due - performance.now(), FAR));
      if (timer !== undefined) host.idle?.(timer);
    }
    store();
  };

  const tick = () => {
    due = -1;
    timer = undefined;
    tell(Turn.Tick);
    pump();
  };

  /** Executes the storage effects, one after the other; ends when there are none left. */
  const store = () => (storing ??= turn(Turn.Step) ? execute() : undefined);
  const execute = async () => {
    // Not in the caller's task, and together with what else is recorded in it.
    await new Promise((done) => setTimeout(done));
    for (let kind; !over && (kind = turn(Turn.Step)); pump()) {
      try {
        await steps[kind]!();
      } catch (error) {
        tell((error as Error)?.name == 'QuotaExceededError' ? Turn.Full : Turn.Failed);
      }
    }
    storing = undefined;
  };

  const amend = (key: Key, other: Key) => () =>
    locks.changing(async () => {
      const copy = await records.read(key);
      if (tell(Turn.Amend, 0, 0, copy, await records.read(other))) {
        await records.write(key, core.text());
        tell(Turn.Written);
        host.tell(key);
      }
    });

  /**
   * Makes both copies of the consent record the same, where they were not as this one was read: a worker has written only
   * one, somebody has emptied the other, or a page was left in the middle.
   */
  const agree = async (copy: string | undefined) => {
    if (!host.mirrored || copy == (host.local?.getItem(prefix + 'consent') ?? undefined)) return;
    await locks.changing(async () => {
      // The mirror may have been what was mended, and then this page hears of it.
      if (!tell(Turn.Agree, 0, 0, await records.read('consent'))) return pump();
      await records.write('consent', core.text());
      host.tell('consent');
    });
  };
  const consent = async (first?: boolean) => {
    const copy = await records.read('consent');
    // Another read finds what this has not mended.
    const agreeing = agree(copy).catch(() => {});
    // Nothing that is kept may go for a refusal that was taken back.
    if (first) await agreeing;
    return copy;
  };

  /** Those of the other tabs with something in the store that are gone, now ours. */
  const gone = async () => {
    const tabs = [];
    for (const tab of queue.others()) {
      if (await locks.take(tab, false)) tabs.push(tab);
    }
    return tabs;
  };
  const own = () => locks.take(queue.tabs[0]!, true);

  /** Whether the last wipe left what belongs to living tabs, so that listing passes it over too; and the device, which is theirs. */
  let ownOnly = false;
  let shared = false;
  const wipe = (only: boolean) => () =>
    locks.changing(async () => {
      const tabs = await gone();
      const identity = await records.read('identity');
      const stale = turn(Turn.Stale, 0, 0, await records.read('consent'), identity);
      const before = number();
      let wiped = queue.wipe(before, (ownOnly = only), tabs);
      // Where nothing may stay there is no device that could be theirs.
      shared = only && before < 1e18 && (await locks.others());
      // Until it is allowed again, this tab is none of those either.
      if (only) locks.release();
      if (stale && !shared) {
        wiped++;
        await records.remove('identity');
      }
      tell(Turn.Wiped, wiped, before);
    });

  const steps: (() => unknown)[] = [
    () => {},
    async () => tell(Turn.Opened, +queue.hasData(), 0, await consent(true), await records.read('identity')),
    async () => {
      const epoch = number();
      queue.tabs.length = 1;
      if (!(await own())) {
        queue.rename();
        await own();
      }
      const tabs = await gone();
      const [notBefore, wiped] = queue.recover(epoch, tabs, (...event) => !!turn(Turn.Found, ...event));
      queue.tabs.forEach((tab, at) => turn(Turn.Tab, at, 0, tab));
      // What was called meanwhile is of whoever is there now: another tab may have said so while this page was frozen.
      tell(Turn.IdentityChanged, 0, 0, await records.read('identity'));
      tell(Turn.Recovered, notBefore, wiped);
    },
    amend('consent', 'identity'),
    amend('identity', 'consent'),
    () =>
      locks.sending(async () => {
        // The app may empty the storage at any time, and a page that is left has only the mirror.
        const copy = await consent();
        tell(Turn.Queue, 0, 0, copy);
      }),
    async () => tell((await locks.fence()) ? Turn.Done : Turn.Unfenced, 0, 0, 'a tab of this site does not answer'),
    wipe(false),
    wipe(true),
    async () => {
      const identity = await records.read('identity');
      queue.list(ownOnly, (key, epoch, length) => turn(Turn.Item, epoch, length, key));
      if (identity !== undefined && !shared) {
        let epoch;
        try {
          ({ epoch } = JSON.parse(identity));
        } catch {
          // Then it cannot be told.
        }
        turn(Turn.Item, epoch ?? -1, identity.length, 'identity');
      }
      tell(Turn.Listed);
    },
  ];

  /** Executes a request: the permit is redeemed and the request started under the sending lock, or else at once. */
  const send = async (op: number) => {
    const cancel = new AbortController();
    let answer: ReturnType<typeof request.start> | undefined;
    /** Ends when the request has begun; at once if this is the last task. */
    const start = async (copy?: string) => {
      if (tell(Turn.Redeem, op, +leaving, copy)) {
        underway.set(op, cancel);
        const text = core.text();
        const path = read(0)!;
        const last = leaving;
        answer = request.start(path, last ? text : await request.pack(path, text), last, cancel);
      }
    };
    try {
      if (leaving) start();
      else {
        await locks.sending(async () => {
          const copy = await records.read('consent');
          if (!over) await start(copy);
        });
      }
      const ended = await answer;
      if (ended) tell(Turn.Answered, op, ...ended);
    } catch {
      tell(Turn.Answered, op);
    }
    underway.delete(op);
    if (!over) pump();
  };

  /**
   * The same for the outbox, which all tabs share: one of them asks, and the others find its answer in the record. A profile's
   * deletion must not arrive a second time, when there may be a new one; so a page that is left, which can wait for nobody,
   * leaves it to the next one.
   */
  const ask = async (op: number) => {
    try {
      await (leaving
        ? Promise.reject()
        : locks.asking(async () => {
            await send(op);
            await store();
          }));
    } catch {
      tell(Turn.Answered, op);
      if (!over) pump();
    }
  };

  const reread = async (key: Key) => {
    const copy = await (key == 'consent' ? consent() : records.read(key));
    tell(key == 'consent' ? Turn.ConsentChanged : Turn.IdentityChanged, 0, 0, copy);
    pump();
  };

  const hear = new AbortController();
  /** Whether this may be the last task: the app's own listeners come after ours. */
  let last = false;
  /** Writes what waits to be written, without waiting for anything. */
  const persist = () => tell(Turn.Queue, 1);
  /** Also sends it. */
  const leave = () => {
    leaving = true;
    persist();
    tell(Turn.Leaving);
    pump();
    leaving = false;
  };
  const close = () => {
    locks.release();
    host.close();
  };
  /** Where the number of a refusal stands until the record, or its mirror, tells of it: whoever starts next acts on it. */
  const early = prefix + 'no';
  const refused = () => {
    try {
      const kind = +host.local!.getItem(early)!;
      if (kind & Turn.OptOut) client.choose([1, { erase: !!(kind & 1), deleteProfile: !!(kind & 2) }]);
      // A page's agreement was its own.
      else host.local!.removeItem(early);
    } catch {
      // There is no storage that could hold one.
    }
  };
  const keep = (kind: number) => {
    try {
      if (kind < Turn.OptOut) host.local!.removeItem(early);
      else if (!/"denied"/.test(host.local!.getItem(prefix + 'consent')!)) host.local!.setItem(early, '' + (kind | +host.local!.getItem(early)!));
    } catch {
      // There is no room, or no storage.
    }
  };

  host.hear(
    {
      view: (hidden) => {
        // In a page that is left already nothing may be waited for.
        if (last) return;
        signal();
        tell(hidden ? Turn.Background : Turn.Foreground);
        if (hidden) persist();
        pump();
      },
      persist,
      leave: () => {
        last = true;
        leave();
        close();
      },
      resume: () => {
        last = false;
        signal();
        tell(Turn.Resumed);
        reread('consent');
        reread('identity');
        // One that was left while this page was frozen.
        refused();
      },
      online: () => {
        tell(Turn.Online);
        pump();
      },
      changed: reread,
      refused,
    },
    hear.signal,
  );

  const heed = async (signals: Signals) => {
    other = said(signals);
    if (over) return;
    signal();
    // Where they allow what they forbade, an identity has to be made; the tick brings what that takes.
    tell(Turn.Tick);
    pump();
    await storing;
  };

  const closed = () => fault('closed: start another client');
  /** Calls that were refused here. */
  let refusals = 0;
  const refuse = (rejected: Rejected) => (refusals++, rejected);

  const client = {
    /** Makes the calls of before, among which may be a later choice than one that was left. Ends when what is to be stored now is. */
    settled: (before: (() => unknown)[]) => {
      before.forEach((call) => call());
      choosing ?? refused();
      return store();
    },
    call: (
      kind: number,
      first: unknown,
      second: unknown,
      json: string,
      wall = Date.now(),
      mono = performance.now(),
    ): Result => {
      if (over) return refuse({ rejected: 'closed', hint: 'start another client' });
      try {
        let parts = texts(kind, first, second, json);
        if (options.filter && !('hint' in parts)) parts = filtered(options.filter, kind, parts);
        if ('hint' in parts) return refuse(parts);
        turn(Turn.At, wall, mono);
        const [one, two] = parts;
        const code = turn(kind, 0, 0, one.slice(0, LONGEST), two.slice(0, LONGEST));
        const result: Result = code == 3 ? { rejected: read(1)!, hint: read(2)! } : code == 2 ? 'held' : 'accepted';
        (last ? leave : pump)();
        return result;
      } catch (error) {
        return refuse({ rejected: 'broken', hint: '' + error });
      }
    },
    choose: ([refuses, how]: readonly [refuses?: 1, how?: OptOut | null]) => {
      const kind = refuses ? Turn.OptOut + +!!how?.erase + 2 * +!!how?.deleteProfile : Turn.OptIn;
      const choice = new Promise<void>((done, fail) => {
        if (over) {
          // It can do nothing any more, but the next one hears of a refusal.
          keep(kind);
          return fail(closed());
        }
        try {
          tell(kind);
          tickets.set(number(), [done, fail]);
        } finally {
          keep(kind);
        }
        pump();
      });
      choosing = choice.then(() => host.local?.removeItem(early)).catch(() => {});
      // It counts, but what was wished with it was not understood.
      const wrong = Object.keys(how ?? {}).find((name) => !/^(erase|deleteProfile)$/.test(name));
      return wrong == null ? choice : quiet(choice.then(() => Promise.reject(fault(`unknown_option: no option ${wrong}; there are: erase, deleteProfile`))));
    },
    flush: (timeout: number) =>
      new Promise<boolean>((done) => {
        if (over) return done(false);
        tell(Turn.Flush);
        const mark = number();
        // The module keeps the mark until it is told how the flush has ended.
        const late = setTimeout(done, Math.min(timeout, FAR), false);
        const end = async (all: boolean) => {
          // What is to be written is no less a part of it.
          await store();
          clearTimeout(late);
          done(all);
        };
        flushes.set(mark, [performance.now() + timeout, end]);
        pump();
      }),
    signals: (signals: Signals) => quiet(heed(signals)),
    consent: () => ({ decision: read(3), verdict: read(4), reason: read(5), sentence: read(6) }) as Consent,
    /** The books, with the calls that the module has not seen: so many were refused before it had loaded. */
    stats: (before: number): Stats => {
      const [, , stats] = books(read(9)!);
      stats.rejected += before + refusals;
      return stats;
    },
    distinctId: () => read(7),
    deviceId: () => read(8),
    audit: async (): Promise<Audit> => {
      const items = await host.items(queue.keys());
      if (over) records.close?.();
      const [inFlight, timed, { queued, held }] = books(read(9)!);
      const timers = timed + (timer === undefined ? 0 : 1);
      return { items, queued, held, timers, inFlight, outbox: JSON.parse(read(10)!) };
    },
    shutdown: async (timeout: number) => {
      const until = performance.now() + timeout;
      await client.flush(timeout);
      // The last one ends last.
      await choosing;
      if (over) return;
      let late;
      await new Promise<void>((done) => {
        ending.push(done);
        late = setTimeout(done, Math.min(until - performance.now(), FAR));
        pump();
      });
      clearTimeout(late);
      if (over) return;
      over = true;
      persist();
      pump();
      // What was begun while nothing but an erasure was waited for; the next client hears of a refusal.
      for (const [, fail] of tickets.values()) fail(closed());
      tickets.clear();
      hear.abort();
      close();
    },
  };

  tell(Turn.Start);
  return client;
};
