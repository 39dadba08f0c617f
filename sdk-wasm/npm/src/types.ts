/** What `init` may be told. Every option has a default, but for `endpoint` in Node. */
export interface Options {
  /**
   * The collector's address, without a query; its paths (`/track/`) are added to it. In pages it may be a path of the page's
   * own origin, such as `/collect`. Default: that origin. Node needs an address.
   */
  endpoint?: string | undefined;
  /** What holds while the person has not decided. Default: `pending`, which keeps calls in memory. */
  defaultConsent?: 'granted' | 'denied' | 'pending' | undefined;
  /** Whether Global Privacy Control counts as a "no" while nobody has decided. Default: true. */
  honorGpc?: boolean | undefined;
  /** Whether Do Not Track counts as a "no" while nobody has decided. Default: true. */
  honorDnt?: boolean | undefined;
  /**
   * What else says "no" while nobody has decided: signals that the browser does not pass on, such as Do Not Track in a
   * worker, or one of the app's own (`host`). They add to what the browser says.
   */
  signals?: Signals | undefined;
  /** How long events are gathered before they are sent, in milliseconds. Default: 5,000. */
  flushInterval?: number | undefined;
  /** Events in one request at most. Default: 50. */
  batchSize?: number | undefined;
  /** Bytes of undelivered events of one tab; over it the oldest go, counted. Default: 1 MiB; in Node 10 MiB. */
  queueLimitBytes?: number | undefined;
  /** Age of undelivered events in milliseconds; older ones go, counted. Default: 5 days. */
  queueLimitAge?: number | undefined;
  /** Whether larger requests are compressed, where the browser can and the page is not being left. Default: true. */
  gzip?: boolean | undefined;
  /** How the project at the collector joins ids. Default: `simplified`. */
  idMerge?: 'simplified' | 'original' | undefined;
  /** Names of properties that are never recorded, whoever sets them. Nested ones are not looked at. */
  denyList?: readonly string[] | undefined;
  /**
   * What is done about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded: they are counted
   * (`observe`), replaced by a placeholder (`redact`), or the call is rejected. Default: `off`. Needs a module that was built
   * with `cargo xtask wasm --features personal-data`; with another one the client does not start.
   */
  personalData?: 'off' | 'observe' | 'redact' | 'reject' | undefined;
  /** Names of properties and kinds of groups under which personal data may stand on purpose. */
  personalDataAllow?: readonly string[] | undefined;
  /** A last look at the properties of everything that is about to be recorded, on the device. */
  filter?: Filter | undefined;
  /** Where the WebAssembly file is, if not beside this package's script. */
  wasmUrl?: string | URL | undefined;
  /** The compiled WebAssembly file, a `WebAssembly.Module`, if the page has it already. */
  wasm?: object | undefined;
  /**
   * Node only: the folder that keeps the choice and what is not delivered yet, for one process at a time. Without one
   * nothing is collected until the person agrees, and then for this process only.
   */
  dataDir?: string | undefined;
}

/**
 * Says what is recorded in place of these properties, which are its own to change; nothing, and where it throws or makes
 * a promise, the call is rejected as `filtered`. It is told what they belong to: an event, what is registered for every
 * later one, or the operators of a profile (`{$set: …}`). Names of events, users and groups do not come to it; calls
 * before the module has loaded come to it then.
 */
export type Filter = (
  subject: { event: string } | 'registered' | 'profile',
  properties: Record<string, any>,
) => object | null | undefined | false | void;

/** Signals against tracking; what is left out says nothing. */
export interface Signals {
  /** Global Privacy Control. */
  gpc?: boolean | undefined;
  /** Do Not Track. */
  dnt?: boolean | undefined;
  /** One of the app's own. */
  host?: boolean | undefined;
}

/** A call that recorded nothing, and why. */
export interface Rejected {
  /** A stable word: `denied`, `empty_name`, `not_json`, `not_finite`, `lone_surrogate`, … */
  rejected: string;
  /** What to do about it. */
  hint: string;
}

/**
 * What became of a call. `held`: kept in memory until the person decides, or until the module has loaded; should that
 * find it unfit, `stats().rejected` counts it.
 */
export type Result = 'accepted' | 'held' | Rejected;

/** Where consent stands. */
export interface Consent {
  /** What the person chose. */
  decision: 'unset' | 'granted' | 'denied';
  /** What is done now. */
  verdict: 'allow' | 'hold' | 'deny';
  /** Why: `person`, `gpc`, `dnt`, `host`, `default`, `store_unavailable`, `not_loaded`. */
  reason: string;
  /** One sentence to show to the person. */
  sentence: string;
}

/** Why a choice did not end as it should. */
export interface ConsentError extends Error {
  /**
   * `not_recorded`: nothing durable was written; a refusal holds in this page all the same. `overruled`: a refusal was given
   * elsewhere after this agreement, and counts. `not_fenced`: the refusal is durable, but a sender did not let go in time.
   * `not_purged`: the refusal is durable, but some data could not be deleted. `closed`: the client was shut down. `unknown_option`:
   * the refusal is carried out, but `optOut` has no such option.
   */
  code: 'not_recorded' | 'overruled' | 'not_fenced' | 'not_purged' | 'closed' | 'unknown_option';
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
  /** What was found of personal data, in a module that looks for it. */
  personalData?: Record<'email' | 'card' | 'iban' | 'jwt', number>;
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
  /** Timers that wait, and events that are being timed. */
  timers: number;
  /** What the server was asked for with an objection, how far it has come, and what the server has said last. */
  outbox: { id: string; kind: 'device' | 'profile'; state: string; answer: { receipt?: unknown } | null }[];
}

/** A profile of a person or a group. Each call is a record of its own. */
export interface Profile {
  /** Sets properties. */
  set(properties: object): Result;
  /** Sets those of the properties that are not set yet. */
  setOnce(properties: object): Result;
  /** Adds numbers to properties; what is not there counts as 0. */
  add(numbers: Record<string, number>): Result;
  /** Appends a value to each of the lists named. */
  append(values: object): Result;
  /** Appends to each of the lists named what is not in it yet. */
  union(lists: Record<string, readonly unknown[]>): Result;
  /** Removes a value from each of the lists named. */
  remove(values: object): Result;
  /** Removes properties; lists of names do as well. */
  unset(...names: (string | readonly string[])[]): Result;
  /** Deletes the profile. That erases no event. */
  delete(): Result;
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
  /** Properties for every later event of this page, in memory only. */
  registerForSession(properties: object): Result;
  /** Forgets a registered property. */
  unregister(name: string): Result;
  /** The next event of this name carries `$duration`: how many seconds it came after this call. */
  timeEvent(name: string): Result;
  /** Another known person from now on: a new device id, no registered properties, this user. The choice stays. */
  switchUser(user: string): Result;
  /** A second name for whoever is known now; means something where `idMerge` is `original`. */
  alias(alias: string): Result;
  /** The profile of whoever is known at each of its calls. */
  profile(): Profile;
  /** The profile of a group, such as `group('company', 'acme')`. */
  group(key: string, id: string): Profile;
  /** Later events are about this member of a group, and no other one of the same kind. */
  setGroup(key: string, id: string): Result;
  /** Later events are about this member of a group, too. */
  addGroup(key: string, id: string): Result;
  /** Later events are no longer about this member of a group. */
  removeGroup(key: string, id: string): Result;
  /**
   * The person agrees. Fails if that could not be written down; unless a refusal is on record, it holds in this page all the
   * same. So it does, and that is no failure, where nothing can be stored and over a record that cannot be read, which stays
   * as it is.
   */
  optIn(): Promise<void>;
  /**
   * The person objects. This tab has stopped when the call returns, all tabs have when the promise ends; then nothing
   * but the choice is stored. `erase` also asks the collector to erase what this device sent, `deleteProfile` to delete
   * the profiles of this device and its user, which erases no event. Where a signal or a default of "no" has purged the
   * device already, there is none to name, and the collector is asked for nothing. Fails if the refusal could not be written down (it then holds in this page only, and writing is tried again), or something is left.
   */
  optOut(options?: { erase?: boolean | undefined; deleteProfile?: boolean | undefined }): Promise<void>;
  /**
   * What says "no" from now on beside the browser, as in the options: what is left out is taken back. Ends when
   * everything that follows has been done.
   */
  signals(signals: Signals): Promise<void>;
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
  /**
   * Sends what is queued now, and waits for it at most so many milliseconds (default 10,000), in pages for the module, too.
   * Says whether everything left the queue; if not, the rest is kept and tried again. Never fails: where no client comes,
   * such as where a blocker keeps it from loading, that is `false`.
   */
  flush(timeout?: number): Promise<boolean>;
  /**
   * Flushes, and waits for an erasure that is on its way, for at most so many milliseconds in all (default 2,000); then
   * stops. A choice that is under way when it begins is waited for beyond that. What is left is sent by a later page.
   * Never fails.
   */
  shutdown(timeout?: number): Promise<void>;
}
