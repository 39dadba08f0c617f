// The entry for Node: the same client, with a data folder in place of a browser's stores.

import { entry } from '../entry';
import { load } from './host';

export type { Audit, Consent, Options, Profile, Refrain, Rejected, Result, Signals, Stats } from '../types';

export const init = entry(async () => ({ load }));
