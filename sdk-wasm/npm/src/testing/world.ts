// What a test has in place of the world: time that moves when it is told to, random numbers that are the same in every
// run, and a collector in memory. `build.mjs` puts these exports where the client would take the host's own.

import type { Collector } from './collector.js';

/** 2026-01-01T00:00:00Z, when every test begins. */
const BEGIN = 1_767_225_600_000;
/** Where the random numbers begin. */
const SEED = 0x9e3779b9;

let collector: Collector | undefined;
let wall = BEGIN;
let mono = 0;
let seed = SEED;
const timers = new Map<number, readonly [at: number, run: () => void]>();
let lastTimer = 0;

/** Another world: nothing that was to happen in the one before does. */
export const begin = (): void => {
  timers.clear();
  wall = BEGIN;
  mono = 0;
  seed = SEED;
};

/** Nothing that was to happen in the page that is left does; the next one begins at this moment. */
export const leavePage = (): void => {
  timers.clear();
  mono = 0;
};

export const wallTime = (): number => wall;

export const Date = { now: () => wall, parse: globalThis.Date.parse };
export const performance = { now: () => mono };

export const setTimeout = (run: () => void, after = 0): number => {
  timers.set(++lastTimer, [mono + Math.max(after, 0), run]);
  // What is due at this moment needs nobody who lets time pass.
  if (after <= 0) nextTask().then(runDue);
  return lastTimer;
};
export const clearTimeout = (timer?: number): void => void timers.delete(timer!);

/** Ends in a later task of the host, after everything that has been promised: not a timer, which a test may have faked. */
const nextTask = () =>
  new Promise<void>((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(0);
  });

/** The first timer that is due by then. */
const firstBy = (end: number) => {
  let first: number | undefined;
  for (const [timer, [at]] of timers) {
    if (at <= end && (first === undefined || at < timers.get(first)![0])) first = timer;
  }
  return first;
};

/** Runs one timer if one is due; whether there was one. */
const runDue = (): boolean => {
  const first = firstBy(mono);
  if (first === undefined) return false;
  const [, run] = timers.get(first)!;
  timers.delete(first);
  run();
  return true;
};

/** Ends when nothing more happens before time passes. */
export const settle = async (): Promise<void> => {
  do await nextTask();
  while (runDue());
};

/** Lets time pass, from one timer to the next, and settles at each. */
export const advance = async (by: number): Promise<void> => {
  await settle();
  const end = mono + by;
  for (;;) {
    const first = firstBy(end);
    const next = first === undefined ? end : timers.get(first)![0];
    wall += next - mono;
    mono = next;
    await settle();
    if (first === undefined) return;
  }
};

export const setWallTime = (time: number): void => void (wall = time);

/** Xorshift. */
export const crypto = {
  getRandomValues: <T extends Uint8Array | Uint32Array>(array: T): T => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let i = 0; i < bytes.length; i++) {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      bytes[i] = seed >>> 8;
    }
    return array;
  },
};

/** Whom requests reach; where it is nobody they are never answered. */
export const setCollector = (one: Collector | undefined): void => void (collector = one);

/** As far as the client uses them: requests are answered at once. */
export const fetch = async (url: string, { body = '' }: { body?: string }) => {
  if (!collector) return new Promise(() => {});
  const { origin } = new URL(url);
  const answer = collector.receive(url.slice(origin.length), body);
  const headers: Record<string, string | undefined> = { 'Retry-After': answer.retryAfter?.toString() };
  return { status: answer.status, headers: { get: (name: string) => headers[name] ?? null }, text: async () => answer.body };
};
export const Request = { prototype: { keepalive: true } };
