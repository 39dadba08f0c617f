/** What `init` may be told. Every option has a default. */
export interface Options {
  /** The collector's address; its paths (`/track/`) are added to it. Default: the page's own origin. */
  endpoint?: string;
  /** What holds while the person has not decided. Default: `pending`, which keeps calls in memory. */
  defaultConsent?: 'granted' | 'denied' | 'pending';
  /** Whether Global Privacy Control counts as a "no" while nobody has decided. Default: true. */
  honorGpc?: boolean;
  /** Whether Do Not Track counts as a "no" while nobody has decided. Default: true. */
  honorDnt?: boolean;
  /** How long events are gathered before they are sent, in milliseconds. Default: 5,000. */
  flushInterval?: number;
  /** Events in one request at most. Default: 50. */
  batchSize?: number;
  /** Bytes of undelivered events; over it the oldest go, counted. Default: 1 MiB. */
  queueLimitBytes?: number;
  /** Age of undelivered events in milliseconds; older ones go, counted. Default: 5 days. */
  queueLimitAge?: number;
  /** How the project at the collector joins ids. Default: `simplified`. */
  idMerge?: 'simplified' | 'original';
  /** Where the WebAssembly file is, if not beside this package's script. */
  wasmUrl?: string | URL;
  /** The compiled WebAssembly file, if the page has it already. */
  wasm?: WebAssembly.Module;
}

/** A call that recorded nothing, and why. */
export interface Rejected {
  /** A stable word: `denied`, `empty_name`, `not_json`, … */
  rejected: string;
  /** What to do about it. */
  hint: string;
}

/**
 * What became of a call. `held`: kept in memory until the person decides, or until the module has loaded.
 */
export type Result = 'accepted' | 'held' | Rejected;

/** Where consent stands. */
export interface Consent {
  /** What the person chose. */
  decision: 'unset' | 'granted' | 'denied';
  /** What is done now. */
  verdict: 'allow' | 'hold' | 'deny';
  /** Why: `person`, `gpc`, `dnt`, `host`, `default`, `store_unavailable`. */
  reason: string;
  /** One sentence to show to the person. */
  sentence: string;
}

/**
 * What became of every event since the page was loaded. At all times
 * `tracked + recovered + adopted = delivered + queued + held + all that was dropped + givenUp`.
 */
export interface Stats {
  tracked: number;
  recovered: number;
  adopted: number;
  delivered: number;
  queued: number;
  held: number;
  givenUp: number;
  queuedBytes: number;
  damaged: number;
  wiped: number;
  rejected: number;
  dropped: Record<string, number>;
}

/** Everything that this page's client and its stores hold now. */
export interface Audit {
  /** Keys and records, with the store they are in. */
  items: string[];
  /** Events in memory. */
  queued: number;
  held: number;
  /** Requests under way. */
  inFlight: number;
  /** Timers that wait. */
  timers: number;
  /** Erasures asked for, and how far each has come. */
  outbox: { id: string; state: string }[];
}

/** One project's client in one page. Nothing here throws. */
export interface Refrain {
  /** Ends when the module is loaded and the store was read; fails if that cannot be. */
  readonly ready: Promise<void>;
  /** Records an event. */
  track(name: string, properties?: object): Result;
  /** The person is known as this user from now on. */
  identify(user: string): Result;
  /** Another person from now on: a new device id, no user, no registered properties. The choice stays. */
  reset(): Result;
  /** Properties for every later event. */
  register(properties: object): Result;
  /** The same, for those that are not registered yet. */
  registerOnce(properties: object): Result;
  /** Forgets a registered property. */
  unregister(name: string): Result;
  /** The person agrees. Fails if that could not be written down; it then holds in this page only. */
  optIn(): Promise<void>;
  /**
   * The person objects. This tab has stopped when the call returns, all tabs have when the promise ends; then nothing
   * but the choice is stored. `erase` also asks the collector to erase what this device sent. Fails if the refusal
   * could not be written down (it then holds in this page only, and writing is tried again), or something is left.
   */
  optOut(options?: { erase?: boolean }): Promise<void>;
  /** Where consent stands; after `ready` with what was stored. */
  consent(): Consent;
  /** Whether the person has objected; after `ready` with what was stored. */
  hasOptedOut(): boolean;
  /** Lists everything that is held. */
  audit(): Promise<Audit>;
  /** The books; `undefined` before the module has loaded. */
  stats(): Stats | undefined;
  /** What goes as `distinct_id` now, if there is any identifier. */
  distinctId(): string | undefined;
  /** The device id, if there is one. */
  deviceId(): string | undefined;
  /** Sends what is queued now. Says whether everything left the queue; if not, the rest is kept and tried again. */
  flush(): Promise<boolean>;
  /** Flushes for at most so many milliseconds (default 2,000), then stops. What is left is sent by a later page. */
  shutdown(timeout?: number): Promise<void>;
}
