// What a client needs of the place where it runs: a browser's page or worker (`client.ts`), or Node (`node/host.ts`).

import type { Options } from './types.js';

/** The records of one project. */
export type Key = 'consent' | 'identity';

/** Where the records stand: a store whose reads are ordered after everybody's finished writes. */
export interface Records {
  /** The record's text; an empty one if it cannot be read. */
  read(key: Key): Promise<string | undefined>;
  write(key: Key, text: string): Promise<unknown>;
  remove(key: Key): Promise<unknown>;
  /** Lets go of the store until the next use, where that is one's own affair. */
  close?(): void;
}

/** What the driver does about what happens around it. */
export interface Heard {
  /** Came into view, or went out of it. */
  view(hidden: boolean): void;
  /** Ends now: what waits to be written is. */
  persist(): void;
  /** May be frozen or gone after this task: what waits is written, and sent. */
  leave(): void;
  /** Goes on, after `leave`. */
  resume(): void;
  online(): void;
  /** Somebody else has changed a record. */
  changed(key: Key): void;
  /** Somebody who could not record it has left a refusal. */
  refused(): void;
}

export type Instantiate = (imports: WebAssembly.Imports) => Pick<WebAssembly.Instance, 'exports'>;

export interface Host {
  /** The synchronous store of the queue and of the consent record's mirror; none if it is denied to us. */
  local: Storage | undefined;
  /** Whether it holds such a mirror, and others may change one without the other. */
  mirrored?: boolean;
  /** The store of the name by which a reload finds its queue again. */
  session: Storage | undefined;
  /** The name of the queue, where there is one only. */
  only?: string;
  /** All keys of `local`. */
  keys(): string[];
  records: Records;
  locks: LockManager | undefined;
  /** Whether what stands in `session` may be another living page's, too. */
  shared?: boolean;
  /** The names of queues that clients have which share `session`; none where they share nothing. */
  here?: Set<string>;
  /** What of the environment says no now: 1 Global Privacy Control, 2 Do Not Track. */
  signals(): number;
  /** What makes an instance of the module. */
  compile(options: Options): Promise<Instantiate>;
  /** Whether a request that failed may have failed for want of a preflight. */
  online(): boolean;
  /** Tells the driver what happens, until the signal is aborted. */
  hear(heard: Heard, until: AbortSignal): void;
  /** Tells the others that a record has changed. */
  tell(key: Key): void;
  /** Everything that is stored now, with the store it is in. */
  items(queue: string[]): Promise<string[]>;
  /** Told of timers for which a program need not stay alive. */
  idle?(timer: ReturnType<typeof setTimeout>): void;
  /** Lets go of everything, until the next use. */
  close(): void;
}
