// What the values of a call become: the texts that the module takes. What no text can hold is refused here, in the
// words of the other packages.

import type { Filter, Rejected } from './types.js';

/** Does without properties. */
const TRACK = 0;
/** Those that register properties. */
const REGISTER = 3;
/** Takes any name, even an empty one, so that the module cannot tell one that is none. */
const UNREGISTER = 6;
/** Updates of a profile, of a person or a group. */
const PROFILE = 10;
const GROUP = 11;
/** From this kind on the second part is a text, too: a group's id. */
const MEMBERSHIP = 12;

/** Half of a surrogate pair. Encoded as it is, it would become U+FFFD, and of two users one. */
export const HALF = /\p{Cs}/u;

/** For `JSON.stringify`, which writes `null` for a number that is not finite and for a date that is none. */
function finite(this: any, key: string, value: unknown) {
  const number = value === null ? this[key]?.valueOf() : value instanceof Number ? +value : value;
  if (typeof number == 'number' && !isFinite(number)) throw finite;
  return value;
}

/** The two texts of a call, the second one given as JSON already; or why there are none. */
export const texts = (kind: number, first: unknown, second: unknown, json: string): [string, string] | Rejected => {
  // What is no text is none: the module asks for one where it needs one.
  const text = (value: unknown) => (typeof value == 'string' ? value : '');
  let all = json;
  if (kind >= PROFILE && kind < MEMBERSHIP && (second as any).$unset) {
    // Names, and lists of names.
    const operators = JSON.parse(json);
    all = JSON.stringify({ ...operators, $unset: operators.$unset.flat() });
  }
  const one = text(first);
  const two = kind >= MEMBERSHIP ? text(second) : kind == TRACK && second == null ? '{}' : all;
  if (HALF.test(one) || HALF.test(two)) {
    return { rejected: 'lone_surrogate', hint: 'a text holds half of a surrogate pair' };
  }
  if (kind == UNREGISTER && one !== first) return { rejected: 'empty_name', hint: 'pass a name' };
  try {
    // Only where there is a `null` it is worth the time to look at every value; and a call that has waited for the module
    // is not judged by what its values have become since.
    if (/null/.test(two) && JSON.stringify(second) == json) JSON.stringify(second, finite);
  } catch (error) {
    if (error == finite) return { rejected: 'not_finite', hint: 'JSON has no NaN, Infinity or invalid date' };
  }
  return [one, two];
};

/** What the app's filter leaves of them. What is no object is for the module to refuse. */
export const filtered = (filter: Filter, kind: number, parts: [string, string]): ReturnType<typeof texts> => {
  const [name, text] = parts;
  const subject =
    kind == TRACK
      ? { event: name }
      : kind >= REGISTER && kind < UNREGISTER
        ? 'registered'
        : kind >= PROFILE && kind < MEMBERSHIP && 'profile';
  if (!subject || text[0] != '{') return parts;
  try {
    let given = JSON.parse(text);
    let group: object | undefined;
    if (kind == GROUP) {
      // Whose profile it is, is not for it to see or say.
      const { $group_key, $group_id, ...operators } = given;
      group = { $group_key, $group_id };
      given = operators;
    }
    const said = filter(subject, given);
    if (said && !('then' in said)) {
      const kept = group ? { ...said, ...group } : said;
      return texts(kind, name, kept, JSON.stringify(kept) + '');
    }
  } catch {
    // What it cannot judge is not recorded.
  }
  return { rejected: 'filtered', hint: "the app's own filter rejected it" };
};
