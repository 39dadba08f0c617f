/** The options of `init`, as they are when it is called. Every option has a default, except for `endpoint` in Node. */
export interface Options {
  /**
   * The collector's address, without a query; paths such as `/track/` are appended to it. In pages it may be a path of
   * the page's own origin, such as `/collect`. Default: that origin. Node needs an address.
   */
  endpoint?: string | undefined;
  /** What applies until the person decides. Default: `pending`, which keeps calls in memory. */
  defaultConsent?: 'granted' | 'denied' | 'pending' | undefined;
  /** Whether Global Privacy Control counts as a "no" until somebody decides. Default: true. */
  honorGpc?: boolean | undefined;
  /** Whether Do Not Track counts as a "no" until somebody decides. Default: true. */
  honorDnt?: boolean | undefined;
  /**
   * Other signals that say "no" until somebody decides: ones that the browser does not pass on, such as Do Not Track in
   * a worker, or one of the app's own (`host`). They add to what the browser says.
   */
  signals?: Signals | undefined;
  /** How long events are gathered before they are sent, in milliseconds. Default: 5,000. */
  flushInterval?: number | undefined;
  /** The maximum number of events in one request. Default: 50. */
  batchSize?: number | undefined;
  /**
   * The maximum size of one tab's queue in bytes. Beyond it the oldest events are dropped, and counted. Default: 1 MiB;
   * in Node 10 MiB.
   */
  queueLimitBytes?: number | undefined;
  /** The maximum age of queued events, in milliseconds. Older ones are dropped, and counted. Default: 5 days. */
  queueLimitAge?: number | undefined;
  /**
   * Whether larger requests are compressed, if the browser supports it and the page is not being left. Default: true.
   */
  gzip?: boolean | undefined;
  /** How the project at the collector merges ids. Default: `simplified`. */
  idMerge?: 'simplified' | 'original' | undefined;
  /** Names of properties that are never recorded, no matter who sets them. Nested properties are not inspected. */
  denyList?: readonly string[] | undefined;
  /**
   * What to do about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded: they are counted
   * (`observe`), replaced by a placeholder (`redact`), or the call is rejected (`reject`). Default: `off`. Needs a
   * module built with `cargo xtask wasm --features personal-data`; with any other the client does not start.
   */
  personalData?: 'off' | 'observe' | 'redact' | 'reject' | undefined;
  /** Names of properties and kinds of groups that may contain personal data on purpose. */
  personalDataAllow?: readonly string[] | undefined;
  /** Sees all properties just before they are recorded, on the device. */
  filter?: Filter | undefined;
  /**
   * Called with the state of consent once the store has been read, and again whenever the decision or the verdict
   * changes, here or in another tab: for a banner that has to appear and disappear.
   */
  onConsent?: ((consent: Consent) => void) | undefined;
  /** Where the WebAssembly file is, unless it is beside this package's script. */
  wasmUrl?: string | URL | undefined;
  /** The compiled WebAssembly file, a `WebAssembly.Module`, if the page already has it. */
  wasm?: object | undefined;
  /**
   * Node only: the folder that stores the choice and undelivered events, for one process at a time. Without it nothing
   * is collected until the person agrees, and then for this process only.
   */
  dataDir?: string | undefined;
}

/**
 * Returns what is recorded in place of these properties, which it may modify. If it returns nothing or a promise, or
 * throws, the call is rejected as `filtered`. `subject` says what the properties belong to: an event, what is
 * registered for every later event, or the operators of a profile (`{$set: …}`). It does not see the names of events,
 * users and groups. Calls made before the module has loaded are passed to it once it has.
 */
export type Filter = (
  subject: { event: string } | 'registered' | 'profile',
  properties: Record<string, any>,
) => object | null | undefined | false | void;

/** Signals against tracking. A signal that is left out is off. */
export interface Signals {
  /** Global Privacy Control. */
  gpc?: boolean | undefined;
  /** Do Not Track. */
  dnt?: boolean | undefined;
  /** A signal of the app's own. */
  host?: boolean | undefined;
}

/** A call that was rejected, so that nothing was recorded, and why. */
export interface Rejected {
  /** A stable word: `denied`, `empty_name`, `not_json`, `not_finite`, `lone_surrogate`, … */
  rejected: string;
  /** What to do about it. */
  hint: string;
}

/**
 * The result of a call. `held`: kept in memory until the person decides, or until the module has loaded. If the module
 * then rejects it, `stats().rejected` counts it.
 */
export type Result = 'accepted' | 'held' | Rejected;

/** Where consent stands. */
export interface Consent {
  /** What the person chose. */
  decision: 'unset' | 'granted' | 'denied';
  /** What may be done now. */
  verdict: 'allow' | 'hold' | 'deny';
  /** Why: `person`, `gpc`, `dnt`, `host`, `default`, `store_unavailable`, `not_loaded`. */
  reason: string;
  /** One sentence to show to the person. */
  sentence: string;
}

/** What is asked of the collector with a refusal, see {@link Refrain.optOut}. */
export interface OptOut {
  erase?: boolean | undefined;
  deleteProfile?: boolean | undefined;
}

/** Why a choice could not be fully carried out. */
export interface ConsentError extends Error {
  /**
   * `not_recorded`: nothing durable was written; a refusal holds in this page all the same. `overruled`: the person has
   * refused elsewhere since this agreement, and the refusal counts. `not_fenced`: the refusal is durable, but a sender
   * did not release its request in time. `not_purged`: the refusal is durable, but some data could not be deleted.
   * `closed`: the client was shut down. `unknown_option`: the refusal was carried out, but `optOut` has no such option.
   */
  code: 'not_recorded' | 'overruled' | 'not_fenced' | 'not_purged' | 'closed' | 'unknown_option';
}

/**
 * What became of every event since the page was loaded. At all times `tracked + recovered + adopted = delivered +
 * queued + held + all that was dropped + givenUp`.
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
  /** Personal data that was found, if the module looks for it. */
  personalData?: Record<'email' | 'card' | 'iban' | 'jwt', number>;
}

/** Everything that this page's client and its stores hold now. */
export interface Audit {
  /** Keys and records, each with the store it is in. */
  items: string[];
  /** Events in memory. */
  queued: number;
  held: number;
  /** Requests in progress. */
  inFlight: number;
  /** Pending timers, and events that are being timed. */
  timers: number;
  /** What the server was asked to do as part of an objection, how far that has come, and the server's last response. */
  outbox: { id: string; kind: 'device' | 'profile'; state: string; answer: { receipt?: unknown } | null }[];
}

/** A profile of a person or a group. Each call is a record of its own. */
export interface Profile {
  /** Sets properties. */
  set(properties: object): Result;
  /** Sets those properties that are not set yet. */
  setOnce(properties: object): Result;
  /** Adds numbers to properties; a missing property counts as 0. */
  add(numbers: Record<string, number>): Result;
  /** Appends a value to each of the named lists. */
  append(values: object): Result;
  /** Appends those values to each of the named lists that are not in it yet. */
  union(lists: Record<string, readonly unknown[]>): Result;
  /** Removes a value from each of the named lists. */
  remove(values: object): Result;
  /** Removes properties. Lists of names work too. */
  unset(...names: (string | readonly string[])[]): Result;
  /** Deletes the profile. This erases no events. */
  delete(): Result;
}

/** One project's client in one page. Its methods do not throw. */
export interface Refrain {
  /** Resolves once the module has loaded and the store has been read; rejects if that is impossible. */
  readonly ready: Promise<void>;
  /** Records an event. */
  track(name: string, properties?: object): Result;
  /** From now on the person is known as this user. */
  identify(user: string): Result;
  /** Another person from now on: a new device id, no user, no registered properties. The choice stays. */
  reset(): Result;
  /** Adds properties to every later event. */
  register(properties: object): Result;
  /** Like `register`, but only for properties that are not registered yet. */
  registerOnce(properties: object): Result;
  /** Adds properties to every later event of this page, in memory only. */
  registerForSession(properties: object): Result;
  /** Forgets a registered property. */
  unregister(name: string): Result;
  /** Starts a timer: the next event of this name carries `$duration`, the number of seconds since this call. */
  timeEvent(name: string): Result;
  /** Another known person from now on: a new device id, no registered properties, this user. The choice stays. */
  switchUser(user: string): Result;
  /** Gives the current person a second name. It only has an effect if `idMerge` is `original`. */
  alias(alias: string): Result;
  /** The profile of the person who is current at each of its calls. */
  profile(): Profile;
  /** The profile of a group, such as `group('company', 'acme')`. */
  group(key: string, id: string): Profile;
  /** Associates later events with this group, and with no other of the same kind. */
  setGroup(key: string, id: string): Result;
  /** Associates later events with this group too. */
  addGroup(key: string, id: string): Result;
  /** No longer associates later events with this group. */
  removeGroup(key: string, id: string): Result;
  /**
   * The person agrees. Rejects if the choice could not be written; unless a refusal is on record, it holds in this page
   * all the same. Where nothing can be stored, or over a record that cannot be read (which is left as it is), it also
   * holds in this page only, but the promise resolves.
   */
  optIn(): Promise<void>;
  /**
   * The person objects. This tab has stopped collecting when the call returns, and all tabs have once the promise
   * resolves. Then nothing is stored but the choice, and the request to erase if there is one. `erase` also asks the
   * collector to erase what this device sent; `deleteProfile` asks it to delete the profiles of this device and its
   * user, which erases no events. Where a signal or a default of "no" has already purged the device, there is no id to
   * name, and the collector is not asked. Rejects if the refusal could not be written (it then holds in this page only,
   * and writing is retried), or if something is left.
   */
  optOut(options?: OptOut): Promise<void>;
  /**
   * Sets which signals say "no" from now on in addition to the browser's, as in the options. A signal that is left out
   * is withdrawn. Resolves once everything that follows from this has been done.
   */
  signals(signals: Signals): Promise<void>;
  /** Where consent stands; reflects what was stored once `ready` has resolved. */
  consent(): Consent;
  /** Whether the person has objected; reflects what was stored once `ready` has resolved. */
  hasOptedOut(): boolean;
  /** Lists everything that is held. */
  audit(): Promise<Audit>;
  /** Counts what became of every event; `undefined` before the module has loaded. */
  stats(): Stats | undefined;
  /** The `distinct_id` that events carry now, if there is any identifier. */
  distinctId(): string | undefined;
  /** The device id, if there is one. */
  deviceId(): string | undefined;
  /**
   * Sends what is queued now, and waits at most `timeout` milliseconds (default 10,000) for it, and in pages also for
   * the module. Resolves to whether everything left the queue; if not, the rest is kept and retried. Never rejects: if
   * no client loads, for example because a blocker prevents it, the result is `false`.
   */
  flush(timeout?: number): Promise<boolean>;
  /**
   * Flushes, and waits for an erasure in progress, for at most `timeout` milliseconds in all (default 2,000); then
   * stops. It waits longer than that for a choice that is in progress when it begins. What is left is sent by a later
   * page. Never rejects.
   */
  shutdown(timeout?: number): Promise<void>;
}
