// The driver: it executes what the engine wants done, and decides nothing.

import { Core, initSync } from '../wasm/refrain_wasm.js';
import { books } from './books';
import { openLocks } from './locks';
import { openQueue } from './queue';
import { type Key, openRecords } from './records';
import { openRequests } from './requests';
import { settings } from './settings';
import type { Audit, Consent, Options, Result, Stats } from './types';

export type Client = Awaited<ReturnType<typeof load>>[0];

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
  const set = settings(options);
  initSync({ module: await compile(options) });

  const prefix = `refrain:${token}:`;
  const pool = new Uint32Array(256);
  let used = 256;
  /** 32 fresh random bits from the operating system. */
  const bits = () => {
    if (used > 255) {
      crypto.getRandomValues(pool);
      used = 0;
    }
    return pool[used++]!;
  };

  const local = storage('localStorage');
  const core = Core.open(token, local, ...set)!;
  if (!core) throw Error('this cannot work: is the token empty, or batchSize 0?');
  const queue = openQueue(prefix, local, storage('sessionStorage'), bits().toString(16) + bits().toString(16));
  const records = openRecords('refrain:' + token);
  const locks = openLocks(prefix);
  const request = openRequests(options.endpoint ?? '');

  const tickets = new Map<number, [() => void, (error: Error) => void]>();
  const flushes = new Map<number, (all: boolean) => void>();
  const underway = new Map<number, AbortController>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = -1;
  let storing: Promise<void> | undefined;
  let leaving = false;
  let over = false;

  const now = () => core.at(Date.now(), performance.now());
  /** Tells the module what has ended, or has happened. */
  const tell = (kind: number, one?: string, two?: string, x = 0, y = 0) => {
    now();
    core.tell(kind, one, two, x, y);
  };
  const input = (kind: number, first = '', second = '', wall = Date.now(), mono = performance.now()) => {
    core.at(wall, mono);
    return core.call(kind, first, second, bits(), bits(), bits(), bits());
  };

  /** Does everything that the engine wants done. Due after whatever may have changed something. */
  const pump = () => {
    for (let kind; (kind = core.next()); ) {
      const number = core.number();
      if (kind == 1) {
        send(number);
      } else if (kind == 2) {
        underway.get(number)?.abort();
      } else if (kind < 5) {
        const [done, fail] = tickets.get(number) ?? [];
        tickets.delete(number);
        if (kind == 3) done?.();
        else fail?.(Error(core.read(0)));
      } else {
        console.warn(kind == 5 ? `refrain: the collector answers ${number}; sending rests` : `refrain: ${core.read(0)}`);
      }
    }
    flushes.forEach((done, mark) => {
      const state = core.flushed(mark);
      if (state) {
        flushes.delete(mark);
        done(state == 1);
      }
    });
    const wakeup = over ? -1 : core.wakeup();
    if (wakeup != due) {
      due = wakeup;
      clearTimeout(timer);
      timer = due < 0 ? undefined : setTimeout(tick, due - performance.now());
    }
    store();
  };

  const tick = () => {
    due = -1;
    timer = undefined;
    input(27);
    pump();
  };

  /** Executes the storage effects, one after the other; ends when there are none left. */
  const store = () => (storing ??= core.step() ? execute() : undefined);
  const execute = async () => {
    // Not in the caller's task, and together with what else is recorded in it.
    await new Promise((done) => setTimeout(done));
    for (let kind; !over && (kind = core.step()); pump()) {
      try {
        await steps[kind]!();
      } catch (error) {
        tell((error as Error)?.name == 'QuotaExceededError' ? 7 : 8);
      }
    }
    storing = undefined;
  };

  const amend = (key: Key) => () =>
    locks.changing(async () => {
      const copy = await records.read(key);
      const consent = await records.read('consent');
      now();
      const text = core.amend(copy, consent);
      if (text !== undefined) {
        await records.write(key, text);
        tell(3);
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
      const stale = core.stale(await records.read('consent'), identity);
      const before = core.number();
      let wiped = queue.wipe(before, (ownOnly = only), tabs);
      if (stale) {
        wiped++;
        await records.remove('identity');
      }
      tell(4, undefined, undefined, wiped, before);
    });

  const steps: (() => unknown)[] = [
    () => {},
    async () => tell(1, await records.read('consent'), await records.read('identity'), +queue.hasData()),
    async () => {
      const epoch = core.number();
      if (!(await own())) {
        queue.rename();
        await own();
      }
      const tabs = await gone();
      const [notBefore, wiped] = queue.recover(epoch, tabs, (...event) => core.found(...event));
      queue.tabs.forEach((tab, at) => core.tab(at, tab));
      tell(2, undefined, undefined, notBefore, wiped);
    },
    amend('consent'),
    amend('identity'),
    () =>
      locks.sending(async () => {
        const copy = await records.read('consent');
        now();
        core.queue(copy, false);
      }),
    async () => tell((await locks.fence()) ? 0 : 6, 'a tab of this site does not answer'),
    wipe(false),
    wipe(true),
    async () => {
      const identity = await records.read('identity');
      queue.list(ownOnly, (...item) => core.item(...item));
      if (identity !== undefined) {
        let epoch;
        try {
          ({ epoch } = JSON.parse(identity));
        } catch {
          // Then it cannot be told.
        }
        core.item('identity', epoch ?? -1, identity.length);
      }
      tell(5);
    },
  ];

  /** Executes a request: the permit is redeemed and the request started under the sending lock, or else at once. */
  const send = async (op: number) => {
    const cancel = new AbortController();
    let answer: ReturnType<typeof request> | undefined;
    const start = (copy?: string) => {
      now();
      const body = core.redeem(op, copy, leaving);
      if (body !== undefined) {
        underway.set(op, cancel);
        answer = request(core.read(0)!, body, leaving, cancel);
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
      if (ended) tell(11, ended[1], ended[2], op, ended[0]);
    } catch {
      tell(11, undefined, undefined, op);
    }
    underway.delete(op);
    if (!over) pump();
  };

  const reread = async (key: Key) => {
    const copy = await records.read(key);
    tell(key == 'consent' ? 9 : 10, copy);
    pump();
  };

  let channel: BroadcastChannel | undefined;
  const listen = () => {
    channel = new BroadcastChannel(prefix);
    channel.onmessage = ({ data }) => reread(data);
  };

  /** Writes what waits to be written, without waiting for anything. */
  const persist = () => {
    now();
    core.queue(undefined, true);
  };

  const hear = new AbortController();
  const on = (target: EventTarget, type: string, heard: (event: any) => void) =>
    target.addEventListener(type, heard, { signal: hear.signal });

  on(document, 'visibilitychange', () => {
    now();
    if (core.visibility(document)) persist();
    pump();
  });
  on(window, 'pagehide', () => {
    leaving = true;
    persist();
    input(28);
    pump();
    leaving = false;
    locks.release();
    records.close();
    channel?.close();
  });
  on(window, 'pageshow', ({ persisted }) => {
    if (!persisted) return;
    listen();
    own();
    reread('consent');
    reread('identity');
  });
  on(window, 'online', () => {
    input(29);
    pump();
  });
  on(window, 'storage', ({ key }) => {
    if (key === null || key == prefix + 'consent') reread('consent');
  });
  listen();

  const client = {
    call: (kind: number, first: string, second: string, wall?: number, mono?: number): Result => {
      if (over) return { rejected: 'shut_down', hint: 'start another client' };
      const code = input(kind, first, second, wall, mono);
      const result: Result = code == 3 ? { rejected: core.read(1)!, hint: core.read(2)! } : code == 2 ? 'held' : 'accepted';
      pump();
      return result;
    },
    choose: (kind: number) =>
      new Promise<void>((done, fail) => {
        if (over) return fail(Error('shut_down: start another client'));
        input(kind);
        tickets.set(core.number(), [done, fail]);
        pump();
      }),
    flush: () =>
      new Promise<boolean>((done) => {
        if (over) return done(false);
        input(26);
        flushes.set(core.number(), done);
        pump();
      }),
    consent: () => ({ decision: core.read(3), verdict: core.read(4), reason: core.read(5), sentence: core.read(6) }) as Consent,
    stats: (): Stats => books(core.read(9)!)[2],
    distinctId: () => core.read(7),
    deviceId: () => core.read(8),
    audit: async (): Promise<Audit> => {
      const items = queue.keys();
      for (const key of ['consent', 'identity'] as const) {
        if ((await records.read(key)) !== undefined) items.push('indexedDB refrain:' + token + ' ' + key);
      }
      const [inFlight, timed, { queued, held }] = books(core.read(9)!);
      const timers = timed + (timer === undefined ? 0 : 1);
      return { items, queued, held, timers, inFlight, outbox: JSON.parse(core.read(10)!) };
    },
    shutdown: async (timeout = 2_000) => {
      await Promise.race([client.flush(), new Promise((done) => setTimeout(done, timeout))]);
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

  now();
  core.signals(navigator);
  input(20);
  return [client, store] as const;
};
