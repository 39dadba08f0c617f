// The entry for Node: the same client, with a data folder in place of a browser's stores.

import { entry } from '../entry.js';
import type { Options, Refrain } from '../types.js';
import { load } from './host.js';

export const init: (token: string, options?: Options) => Refrain = entry(async () => ({ load }));
