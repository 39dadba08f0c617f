// The page of a test: how it lives, how its time passes, and what a test expects of it.

import { entry } from '../entry.js';
import type { Heard } from '../host.js';
import type { Options, Refrain } from '../types.js';
import { Collector, type SentRequest, type TestAnswer } from './collector.js';
import { Stores, loader } from './host.js';
import { advance, begin, leavePage, setCollector, setWallTime, settle, wallTime } from './world.js';

/** The privacy signals of a test's browser. */
export interface TestBrowser {
  /** Global Privacy Control. Default: false. */
  gpc?: boolean | undefined;
  /** Do Not Track. Default: false. */
  dnt?: boolean | undefined;
}

/** An event as it was sent. */
export interface SentEvent {
  event: string;
  properties: Record<string, any>;
}

const DAY = 86_400_000;

/** A page for tests. See `testPage`. */
export class TestPage {
  readonly #signals: number;
  readonly #stores = new Stores();
  readonly #collector = new Collector();
  /** Requests that were there at the last expectation. */
  #seen = 0;
  #clients: Refrain[] = [];
  #heard: Heard[] = [];

  constructor({ gpc = false, dnt = false }: TestBrowser) {
    this.#signals = +gpc + 2 * +dnt;
    begin();
    setCollector(this.#collector);
  }

  /**
   * Starts a client in this page, as the package's `init` does. `endpoint`, `dataDir` and the options for the module
   * have no effect; `flush` and `shutdown` do not wait for a clock.
   */
  init = (token: string, options: Options = {}): Refrain => {
    const start = entry(async () => loader(this.#stores, this.#signals, (heard) => this.#heard.push(heard)));
    const client = start(token, { ...options, endpoint: 'https://collector.test' });
    /** What has come of it when nothing more happens. */
    const atRest = async (ending: Promise<boolean>) => {
      let all = false;
      void ending.then((sent) => (all = sent));
      await settle();
      return all;
    };
    const inTest: Refrain = {
      ...client,
      flush: () => atRest(client.flush()),
      shutdown: async () => {
        await inTest.flush();
        await client.shutdown(0);
      },
    };
    this.#clients.push(inTest);
    return inTest;
  };

  /**
   * Lets time pass, in milliseconds, from one moment at which a client wants to act to the next, and settles at each.
   */
  advance(by: number): Promise<void> {
    return advance(by);
  }

  /** Waits until nothing more will happen unless time passes or somebody makes a call. */
  settle(): Promise<void> {
    return settle();
  }

  /** The wall clock, in milliseconds since 1970. A page begins at 2026-01-01T00:00:00Z. */
  get wallTime(): number {
    return wallTime();
  }

  /** Sets the wall clock forwards or backwards, as a person or a time server may. No time passes. */
  set wallTime(time: number) {
    setWallTime(time);
  }

  /** Hides the page, as when the person switches to another tab. */
  async hide(): Promise<void> {
    for (const heard of this.#heard) heard.view(true);
    await settle();
  }

  /** Shows the page again. */
  async show(): Promise<void> {
    for (const heard of this.#heard) heard.view(false);
    await settle();
  }

  /**
   * Leaves the page. What was stored is available to the next `init`, which stands for the page being opened again;
   * earlier clients refuse every call.
   */
  async leave(): Promise<void> {
    await settle();
    for (const heard of this.#heard.splice(0)) heard.leave();
    await settle();
    setCollector(undefined);
    for (const client of this.#clients.splice(0)) await client.shutdown();
    leavePage();
    setCollector(this.#collector);
  }

  /** Sets the collector's answer to the next request that has none set yet. */
  answerNext(answer: TestAnswer): void {
    this.#collector.nextAnswers.push(answer);
  }

  /** Sets whether the collector is unreachable, so that no request leaves. */
  collectorAway(away: boolean): void {
    this.#collector.away = away;
  }

  /** Every request that has left so far, including those for erasures, whether or not the collector took it. */
  get requests(): readonly SentRequest[] {
    return this.#collector.requests;
  }

  /** Every event that the collector has taken so far, in order. */
  get events(): readonly SentEvent[] {
    return this.#of('event').map(({ value }) => value);
  }

  /**
   * Expects an event of this name that has at least these properties, and returns the first one that the collector has
   * taken and no earlier expectation has matched. If there is none yet, queued events are sent first. Objects among the
   * properties may have additional members too; everything else has to be equal. Otherwise rejects with what has
   * arrived, and the state of consent and of the queue.
   */
  async expectEvent(name: string, properties: object = {}): Promise<SentEvent> {
    const wanted = plain(properties);
    const found = await this.#expect('event', ({ event, properties }) => event === name && contains(properties, wanted));
    if (found) return found;
    const near = this.#of('event').filter(({ value }) => value.event === name);
    const differing = near.map(({ value, expected }) =>
      contains(value.properties, wanted)
        ? `  one was the same, and expected before: ${expected}\n`
        : `  one differed: ${differences(value.properties, wanted)}\n`,
    );
    const what = Object.keys(wanted).length ? `${JSON.stringify(name)} with ${JSON.stringify(wanted)}` : JSON.stringify(name);
    return this.#fail(`no event ${what} has arrived\n${differing.join('')}`);
  }

  /**
   * Expects an update of a person's or a group's profile that has at least these members: `{ $set: { plan: 'pro' } }`.
   */
  async expectProfile(members: object): Promise<Record<string, any>> {
    const wanted = plain(members);
    const found = await this.#expect('profile', (update) => contains(update, wanted));
    if (found) return found;
    const list = this.#of('profile').map(({ value }) => `  update: ${JSON.stringify(value)}\n`);
    return this.#fail(`no profile update with ${JSON.stringify(wanted)} has arrived\n${list.join('')}`);
  }

  /**
   * Expects that nothing has been sent since the last expectation (or the beginning), and that nothing is sent during
   * the next 24 hours, which pass in the process. Erasures, and deletions with an objection, do not count.
   */
  async expectNothingSent(): Promise<void> {
    await this.#flush();
    await advance(DAY);
    // A deletion with an objection names the device's own profile, as no call of an app does; the user's goes with it.
    const isWish = ({ path, body }: SentRequest) =>
      path.startsWith('/refrain') ||
      (body.every((update: any) => '$delete' in update) && body.some((update: any) => '$ignore_alias' in update));
    const sent = this.requests.slice(this.#seen).filter((request) => !isWish(request));
    this.#seen = this.requests.length;
    const list = sent.map(({ path, body }) => `  ${path}: ${JSON.stringify(body)}\n`);
    if (sent.length) return this.#fail(`something has left\n${list.join('')}`);
  }

  /**
   * Expects that the page holds nothing but the record of the person's choice and what was asked for with it: no ids,
   * no properties and no events, in memory or in a store.
   */
  async expectNothingKept(): Promise<void> {
    await settle();
    const kept = this.#stores.items().filter((item) => !item.endsWith(':consent'));
    for (const client of this.#clients) {
      const { queued, held, inFlight, timers } = await client.audit();
      for (const [what, count] of Object.entries({ queued, held, inFlight, timers })) if (count) kept.push(`${what}: ${count}`);
      const ids = { distinctId: client.distinctId(), deviceId: client.deviceId() };
      for (const [what, id] of Object.entries(ids)) if (id) kept.push(`${what}: ${id}`);
    }
    if (kept.length) return this.#fail(`something is kept\n${kept.map((item) => `  ${item}\n`).join('')}`);
  }

  #of(kind: 'event' | 'profile') {
    return this.#collector.taken.filter((taken) => taken.kind === kind);
  }

  async #flush() {
    await settle();
    for (const client of this.#clients) {
      // Fails for one that could not start, which `flush` does not.
      await client.ready;
      await client.flush();
    }
  }

  /** Takes the first record that fits; what is queued is sent if there is none. */
  async #expect(kind: 'event' | 'profile', fits: (value: any) => boolean) {
    const find = () => this.#of(kind).find(({ value, expected }) => !expected && fits(value));
    await settle();
    let found = find();
    if (!found) {
      await this.#flush();
      found = find();
    }
    if (!found) return undefined;
    found.expected = true;
    this.#seen = this.requests.length;
    return found.value;
  }

  #fail(message: string): never {
    const names = this.#of('event').map(({ value, expected }) => JSON.stringify(value.event) + (expected ? ' (expected before)' : ''));
    const lines = [`arrived: ${names.join(', ') || 'no event'}`];
    for (const client of this.#clients) {
      lines.push(`consent: ${client.consent().sentence}`);
      const { dropped, ...counts } = client.stats() ?? {};
      const made = Object.entries({ ...counts, ...dropped }).filter(([, count]) => count);
      lines.push(`the books: ${made.map(([name, count]) => `${name} ${count}`).join(', ') || 'nothing yet'}`);
    }
    if (!this.#clients.length) lines.push('nobody has called init');
    const last = this.requests.at(-1);
    if (last) lines.push(`last answer of the collector: ${last.status}`);
    if (this.#collector.away) lines.push('the collector is away: collectorAway(false) brings it back');
    throw Error(message + lines.map((line) => `  ${line}`).join('\n'));
  }
}

/** As it is sent. */
const plain = (value: object) => JSON.parse(JSON.stringify(value));

/** Whether a value is what is wanted; an object may hold more. */
const contains = (value: any, wanted: any): boolean => {
  if (wanted === null || typeof wanted != 'object') return value === wanted;
  if (Array.isArray(wanted)) {
    return Array.isArray(value) && value.length === wanted.length && wanted.every((one, at) => contains(value[at], one));
  }
  if (value === null || typeof value != 'object' || Array.isArray(value)) return false;
  return Object.entries(wanted).every(([name, one]) => name in value && contains(value[name], one));
};

const differences = (value: any, wanted: object): string =>
  Object.entries(wanted)
    .filter(([name, one]) => !contains(value[name], one))
    .map(([name, one]) =>
      name in value
        ? `${JSON.stringify(name)} is ${JSON.stringify(value[name])}, not ${JSON.stringify(one)}`
        : `${JSON.stringify(name)} is missing`,
    )
    .join(', ');
