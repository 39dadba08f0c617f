// The entry for browsers. Importing it touches nothing, so that it can be imported where there is no page.

import { entry } from './entry';

export type { Audit, Consent, Options, Profile, Refrain, Rejected, Result, Signals, Stats } from './types';

/** Starts a client for a project. Returns at once and never throws; `ready` says how it went. */
export const init = entry(() => import('./client'));
