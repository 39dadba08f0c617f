// The driver: it executes what the engine wants done, and decides nothing.

import { Core, initSync } from '../wasm/refrain_wasm.js';
import { books } from './books';
import { openLocks } from './locks';
import { openQueue } from './queue';
import { type Key, openRecords } from './records';
import { openRequests } from './requests';
import { settings } from './settings';
import { Turn } from './turns';
import type { Audit, Consent, Options, Rejected, Result, Stats } from './types';
import { texts } from './values';

export type Client = Awaited<ReturnType<typeof load>>[0];

/** The longest that a timer waits, in milliseconds: anything above counts as nothing. */
const FAR = 2 ** 31 - 1;

const compile = async ({ wasm, wasmUrl = new URL('./refrain_wasm_bg.wasm', import.meta.url) }: Options) => {
  if (wasm) return wasm;
  try {
    return await WebAssembly.compileStreaming(fetch(wasmUrl));
  } catch {
    // A server that sends it under another type.
    return WebAssembly.compile(await (await fetch(wasmUrl)).arrayBuffer());
  }
};

const storage = (name: 'localStorage' | 'sessionStorage'): Storage | undefined => {
  try {
    return window[name];
  } catch {
    return undefined;
  }
};

export const load = async (token: string, options: Options) => {
  const [endpoint, ...set] = settings(token, options);
  initSync({ module: await compile(options) });

  const prefix = `refrain:${token}:`;
  const local = storage('localStorage');
  const core = Core.open(token, document, navigator, local, ...set)!;
  if (!core) throw Error('this cannot work: is the token empty, or batchSize 0?');
  const fresh = crypto.getRandomValues(new Uint32Array(2)).join('');
  const queue = openQueue(prefix, local, storage('sessionStorage'), fresh);
  const records = openRecords('refrain:' + token);
  const locks = openLocks(prefix);
  const request = openRequests(endpoint);

  const tickets = new Map<number, [() => void, (error: Error) => void]>();
  const flushes = new Map<number, (all: boolean) => void>();
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
  const read = (what: number) => (turn(Turn.Read, what) ? core.text() : undefined);

  /** Does everything that the engine wants done. Due after whatever may have changed something. */
  const pump = () => {
    for (let kind; (kind = turn(Turn.Next)); ) {
      const of = number();
      if (kind == 1) {
        send(of);
      } else if (kind == 2) {
        underway.get(of)?.abort();
      } else if (kind < 5) {
        const [done, fail] = tickets.get(of) ?? [];
        tickets.delete(of);
        if (kind == 3) done?.();
        else fail?.(Error(core.text()));
      } else {
        console.warn('refrain: ' + (kind == 5 ? `the collector answers ${of}; sending rests` : core.text()));
      }
    }
    flushes.forEach((done, mark) => {
      const state = turn(Turn.Flushed, mark);
      if (state) {
        flushes.delete(mark);
        done(state == 1);
      }
    });
    const wakeup = over ? -1 : turn(Turn.Wakeup);
    if (wakeup != due) {
      due = wakeup;
      clearTimeout(timer);
      timer = due < 0 ? undefined : setTimeout(tick, Math.min(due - performance.now(), FAR));
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

  const amend = (key: Key) => () =>
    locks.changing(async () => {
      const copy = await records.read(key);
      const consent = await records.read('consent');
      if (tell(Turn.Amend, 0, 0, copy, consent)) {
        await records.write(key, core.text());
        tell(Turn.Written);
        channel?.postMessage(key);
      }
    });

  /** Those of the other tabs with something in the store that are gone, now ours. */
  const gone = async () => {
    const tabs = [];
    for (const tab of queue.others()) {
      if (await locks.take(tab, false)) tabs.push(tab);
    }
    return tabs;
  };
  const own = () => locks.take(queue.tabs[0]!, true);

  /** Whether the last wipe left what belongs to living tabs, so that listing passes it over too. */
  let ownOnly = false;
  const wipe = (only: boolean) => () =>
    locks.changing(async () => {
      const tabs = await gone();
      const identity = await records.read('identity');
      const stale = turn(Turn.Stale, 0, 0, await records.read('consent'), identity);
      const before = number();
      let wiped = queue.wipe(before, (ownOnly = only), tabs);
      if (stale) {
        wiped++;
        await records.remove('identity');
      }
      tell(Turn.Wiped, wiped, before);
    });

  const steps: (() => unknown)[] = [
    () => {},
    async () => tell(Turn.Opened, +queue.hasData(), 0, await records.read('consent'), await records.read('identity')),
    async () => {
      const epoch = number();
      if (!(await own())) {
        queue.rename();
        await own();
      }
      const tabs = await gone();
      const [notBefore, wiped] = queue.recover(epoch, tabs, (...event) => !!turn(Turn.Found, ...event));
      queue.tabs.forEach((tab, at) => turn(Turn.Tab, at, 0, tab));
      tell(Turn.Recovered, notBefore, wiped);
    },
    amend('consent'),
    amend('identity'),
    () =>
      locks.sending(async () => {
        const copy = await records.read('consent');
        tell(Turn.Queue, 0, 0, copy);
      }),
    async () => tell((await locks.fence()) ? Turn.Done : Turn.Unfenced, 0, 0, 'a tab of this site does not answer'),
    wipe(false),
    wipe(true),
    async () => {
      const identity = await records.read('identity');
      queue.list(ownOnly, (key, epoch, length) => turn(Turn.Item, epoch, length, key));
      if (identity !== undefined) {
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
    let answer: ReturnType<typeof request> | undefined;
    const start = (copy?: string) => {
      if (tell(Turn.Redeem, op, +leaving, copy)) {
        underway.set(op, cancel);
        const body = core.text();
        answer = request(read(0)!, body, leaving, cancel);
      }
    };
    try {
      if (leaving) start();
      else {
        await locks.sending(async () => {
          const copy = await records.read('consent');
          if (!over) start(copy);
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

  const reread = async (key: Key) => {
    const copy = await records.read(key);
    tell(key == 'consent' ? Turn.ConsentChanged : Turn.IdentityChanged, 0, 0, copy);
    pump();
  };

  let channel: BroadcastChannel | undefined;
  const listen = () => {
    channel = new BroadcastChannel(prefix);
    channel.onmessage = ({ data }) => reread(data);
  };

  /** Writes what waits to be written, without waiting for anything. */
  const persist = () => tell(Turn.Queue, 1);

  const hear = new AbortController();
  const on = (target: EventTarget, type: string, heard: (event: any) => void) =>
    target.addEventListener(type, heard, { signal: hear.signal });

  on(document, 'visibilitychange', () => {
    if (tell(Turn.Visibility)) persist();
    pump();
  });
  /** Also writes down what waits, and sends it. */
  const leave = () => {
    leaving = true;
    persist();
    tell(Turn.Leaving);
    pump();
    leaving = false;
  };
  /** Whether this may be the page's last task: its own listeners come after ours. */
  let last = false;
  on(window, 'pagehide', () => {
    last = true;
    leave();
    locks.release();
    records.close();
    channel?.close();
  });
  on(window, 'pageshow', ({ persisted }) => {
    if (!persisted) return;
    last = false;
    listen();
    own();
    reread('consent');
    reread('identity');
  });
  on(window, 'online', () => {
    tell(Turn.Online);
    pump();
  });
  on(window, 'storage', ({ key }) => {
    if (key === null || key == prefix + 'consent') reread('consent');
  });
  listen();

  /** Calls that were refused here. */
  let refused = 0;
  const refuse = (rejected: Rejected) => (refused++, rejected);

  const client = {
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
        const parts = texts(kind, first, second, json);
        if ('hint' in parts) return refuse(parts);
        turn(Turn.At, wall, mono);
        const code = turn(kind, 0, 0, ...parts);
        const result: Result = code == 3 ? { rejected: read(1)!, hint: read(2)! } : code == 2 ? 'held' : 'accepted';
        (last ? leave : pump)();
        return result;
      } catch (error) {
        return refuse({ rejected: 'broken', hint: '' + error });
      }
    },
    choose: (kind: number, also?: { erase?: boolean; deleteProfile?: boolean }) =>
      new Promise<void>((done, fail) => {
        if (over) return fail(Error('closed: start another client'));
        tell(kind + +!!also?.erase + 2 * +!!also?.deleteProfile);
        tickets.set(number(), [done, fail]);
        pump();
      }),
    flush: (timeout = 10_000) =>
      new Promise<boolean>((done) => {
        if (over) return done(false);
        tell(Turn.Flush);
        const mark = number();
        flushes.set(mark, done);
        setTimeout(() => flushes.delete(mark) && done(false), Math.min(timeout, FAR));
        pump();
      }),
    consent: () => ({ decision: read(3), verdict: read(4), reason: read(5), sentence: read(6) }) as Consent,
    /** The books, with the calls that the module has not seen: so many were refused before it had loaded. */
    stats: (early: number): Stats => {
      const [, , stats] = books(read(9)!);
      stats.rejected += early + refused;
      return stats;
    },
    distinctId: () => read(7),
    deviceId: () => read(8),
    audit: async (): Promise<Audit> => {
      const items = queue.keys();
      for (const key of ['consent', 'identity'] as const) {
        const copy = await records.read(key);
        if (copy !== undefined) items.push('indexedDB refrain:' + token + ' ' + key + (copy ? '' : ' (unreadable)'));
      }
      const [inFlight, timed, { queued, held }] = books(read(9)!);
      const timers = timed + (timer === undefined ? 0 : 1);
      return { items, queued, held, timers, inFlight, outbox: JSON.parse(read(10)!) };
    },
    shutdown: async (timeout = 2_000) => {
      await client.flush(timeout);
      if (over) return;
      over = true;
      persist();
      pump();
      hear.abort();
      channel?.close();
      locks.release();
      records.close();
    },
  };

  tell(Turn.Start);
  return [client, store] as const;
};
