// The books, out of the row of numbers that the module gives.

import type { Stats } from './types.js';

const COUNTS = 'tracked,recovered,adopted,delivered,queued,held,givenUp,queuedBytes,damaged,wiped,rejected';
const DROPS = 'withdrawn,hold_full,hold_expired,evicted,expired,oversize,refused,unrecordable';

/** The requests under way, running timers, and the books. */
export const books = (row: string): [inFlight: number, timers: number, stats: Stats] => {
  const numbers = row.split(',').map(Number);
  const take = (names: string) => Object.fromEntries(names.split(',').map((name) => [name, numbers.shift()!]));
  const answer: [number, number, Stats] = [numbers.shift()!, numbers.shift()!, { ...take(COUNTS), dropped: take(DROPS) } as unknown as Stats];
  // Behind the last comma stands nothing.
  if (numbers[1] != null) answer[2].personalData = take('email,card,iban,jwt') as Stats['personalData'] & object;
  return answer;
};
