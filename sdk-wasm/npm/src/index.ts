// The entry for browsers. Importing it touches nothing, so that it can be imported where there is no page.

import { entry } from './entry.js';
import type { Options, Refrain } from './types.js';

export type { Audit, Consent, ConsentError, Filter, OptOut, Options, Profile, Refrain, Rejected, Result, Signals, Stats } from './types.js';

/** Starts a client for a project. Returns at once and never throws; `ready` says whether it could start. */
export const init: (token: string, options?: Options) => Refrain = entry(() => import('./client.js'), () => localStorage);
