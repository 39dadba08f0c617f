// Values and patterns of the scenarios, as `tests/scenarios/README.md` has them.

const show = (found) => {
  const text = found === undefined ? 'nothing' : JSON.stringify(found);
  return text.length > 400 ? text.slice(0, 400) + '…' : text;
};

const isObject = (value) => typeof value == 'object' && value !== null && !Array.isArray(value);

/** The word and the argument of an object that stands for something else. */
const wordOf = (value) => {
  const word = isObject(value) && Object.keys(value).find((name) => name.startsWith('@'));
  if (!word) return undefined;
  if (Object.keys(value).length != 1) throw Error(`${word} stands beside other members`);
  return [word, value[word]];
};

const recall = (name, remembered) => {
  if (!remembered.has(name)) throw Error(`nothing was remembered as ${name}`);
  return remembered.get(name);
};

/** What a value stands for. `@half` stays: on its way into a page its text would become another one. */
export const valueOf = (value, index, remembered) => {
  const [word, argument] = wordOf(value) ?? [];
  if (!word) {
    if (Array.isArray(value)) return value.map((one) => valueOf(one, index, remembered));
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, valueOf(one, index, remembered)]));
  }
  const words = {
    '@number': () => ({ NaN, Infinity, '-Infinity': -Infinity })[argument],
    '@text': () => argument[0].repeat(argument[1]),
    '@half': () => value,
    '@members': () => Object.fromEntries([...Array(argument).keys()].map((number) => ['p' + number, number])),
    '@remembered': () => recall(argument, remembered),
    '@index': () => index,
  };
  if (!Object.hasOwn(words, word)) throw Error(`\`${word}\` is no word for a value`);
  return words[word]();
};

/** Throws where what was found, `undefined` if nothing, does not match. */
export const check = (pattern, found, index, remembered, place = 'it') => {
  const fail = () => {
    throw Error(`${place}: wanted ${show(pattern)}, found ${show(found)}`);
  };
  const [word, argument] = wordOf(pattern) ?? [];
  if (word) {
    const number = typeof found == 'number';
    const words = {
      '@absent': () => found === undefined,
      '@present': () => found !== undefined,
      '@remembered': () => found === recall(argument, remembered),
      '@other_than': () => typeof found == 'string' && found !== recall(argument, remembered),
      '@index': () => found === index,
      '@at_least': () => number && found >= argument,
      '@at_most': () => number && found <= argument,
      '@each': () => {
        if (!Array.isArray(found) || !found.length) return false;
        found.forEach((one, at) => check(argument, one, index, remembered, `${place}[${at}]`));
        return true;
      },
    };
    if (!Object.hasOwn(words, word)) throw Error(`\`${word}\` is no word for a pattern`);
    if (!words[word]()) fail();
  } else if (isObject(pattern) && isObject(found)) {
    for (const [name, wanted] of Object.entries(pattern)) {
      check(wanted, Object.hasOwn(found, name) ? found[name] : undefined, index, remembered, `${place}.${name}`);
    }
  } else if (Array.isArray(pattern) && Array.isArray(found)) {
    if (pattern.length != found.length) fail();
    pattern.forEach((wanted, at) => check(wanted, found[at], index, remembered, `${place}[${at}]`));
  } else if (pattern !== found) fail();
};

export const matches = (...asked) => {
  try {
    check(...asked);
    return true;
  } catch {
    return false;
  }
};
