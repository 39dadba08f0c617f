// The parts that need no browser: keys of the queue, settings, the books.

import test from 'node:test';
import assert from 'node:assert/strict';
import { build } from 'esbuild';

const load = async (name) => {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../src/${name}.ts`, import.meta.url).pathname],
    bundle: true,
    write: false,
    format: 'esm',
  });
  return import('data:text/javascript,' + encodeURIComponent(outputFiles[0].text));
};
const { openQueue } = await load('queue');
const { settings } = await load('settings');
const { books } = await load('books');
const { inSeconds, openRequests } = await load('requests');

class Memory {
  constructor(entries) {
    Object.assign(this, entries);
  }
  getItem(key) {
    return this[key] ?? null;
  }
  setItem(key, value) {
    this[key] = value;
  }
  removeItem(key) {
    delete this[key];
  }
}

const host = (local, session) => ({ local, session, keys: () => Object.keys(local ?? {}) });

const P = 'refrain:T:';
const FOREIGN = {
  [P + 'consent']: '{}',
  'refrain:U:q:me:7': '1|{}',
  [P + 'q:me:x']: '1|{}',
  [P + 'q:me']: '1|{}',
  'q:me:7': '1|{}',
};
const recover = (queue, epoch, gone, found = () => true) => {
  const events = [];
  const rest = queue.recover(epoch, gone, (...event) => events.push(event) && found(...event));
  return [events, ...rest];
};

test('keys are understood or left alone', () => {
  const local = new Memory({ ...FOREIGN, [P + 'q:me:7']: '1|{}', [P + 'nb:other']: '1|5' });
  const queue = openQueue(P, host(local), 'me');
  assert.deepEqual([...queue.others()], ['other']);
  assert.equal(queue.wipe(9, false, []), 2);
  assert.deepEqual({ ...local }, FOREIGN);
  assert.equal(queue.hasData(), false);
});

test('C6 only the epoch asked for is read; the rest is deleted unread', () => {
  const local = new Memory({ [P + 'q:me:1']: '3|{"a":1}' });
  ['2|{}', '{}', '|{}', '3.0|{}', '', '33|{}'].forEach((value, at) => local.setItem(P + 'q:me:1' + at, value));
  const [events, notBefore, wiped] = recover(openQueue(P, host(local), 'me'), 3, []);
  assert.deepEqual(events, [[0, 1, '{"a":1}']]);
  assert.deepEqual([notBefore, wiped], [0, 6]);
  assert.deepEqual(Object.keys(local), [P + 'q:me:1']);
});

test('queues of tabs that are gone come first, in order, and a living one is left alone', () => {
  const local = new Memory({
    [P + 'q:me:2']: '1|c',
    [P + 'q:gone:10']: '1|b',
    [P + 'q:gone:9']: '1|a',
    [P + 'q:living:1']: '1|x',
    [P + 'nb:me']: '1|70',
    [P + 'nb:gone']: '1|90',
  });
  const session = new Memory({});
  const queue = openQueue(P, host(local, session), 'me');
  const [events, notBefore, wiped] = recover(queue, 1, ['gone'], (_, seq) => seq != 9);
  assert.deepEqual(events, [[1, 9, 'a'], [1, 10, 'b'], [0, 2, 'c']]);
  assert.deepEqual([notBefore, wiped], [90, 0]);
  assert.equal(P + 'q:gone:9' in local, false, 'what cannot be read goes');
  assert.equal(session.getItem(P + 'tab'), 'me');
  assert.equal(openQueue(P, host(local, session), 'other').tabs[0], 'me');
});

test('C4 a wipe takes what is older or cannot be told; of living tabs only if it is for the whole store', () => {
  const fill = () => new Memory({ [P + 'q:me:1']: '1|', [P + 'q:me:2']: '2|', [P + 'q:living:1']: '1|', [P + 'nb:me']: '?' });
  for (const [own, wiped, left] of [[true, 2, [P + 'q:me:2', P + 'q:living:1']], [false, 3, [P + 'q:me:2']]]) {
    const local = fill();
    const queue = openQueue(P, host(local), 'me');
    const listed = [];
    queue.list(false, (_, epoch) => listed.push(epoch));
    assert.deepEqual(listed, [1, 2, 1, -1]);
    assert.equal(queue.wipe(2, own, []), wiped);
    assert.deepEqual(Object.keys(local), left);
  }
});

test('every name that a tab takes is another one', () => {
  const queue = openQueue(P, host(new Memory({}), new Memory({})), '17');
  const names = [queue.tabs[0]];
  for (let n = 0; n < 3; n++) {
    queue.rename();
    names.push(queue.tabs[0]);
  }
  assert.equal(new Set(names).size, 4);
});

test('where nobody can tell whose tab is gone, what others have left is bounded', () => {
  const text = '1|' + 'x'.repeat(300_000);
  const fill = () =>
    new Memory({ ...FOREIGN, [P + 'q:me:1']: text, ...Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((tab) => [P + `q:${tab}:1`, text])) });
  for (const [locks, left] of [[undefined, 3], [{}, 5]]) {
    const local = fill();
    const queue = openQueue(P, { ...host(local), locks }, 'me');
    const [events, , wiped] = recover(queue, 1, []);
    assert.deepEqual([events.length, queue.others().size, wiped], [1, left, 5 - left]);
  }
});

test('without storage there is nothing', () => {
  const queue = openQueue(P, host(), 'me');
  assert.deepEqual(recover(queue, 1, []), [[], 0, 0]);
  assert.equal(queue.wipe(1, false, []), 0);
  assert.deepEqual(queue.keys(), []);
});

test('an empty object gives the defaults of a browser, and every option arrives', () => {
  assert.deepEqual(settings('T', { endpoint: '' }, 0), ['', true, 0, '', 0, false, 3, 0, 5000, 50, 1 << 20, 432_000_000, '']);
  assert.deepEqual(
    settings('T', {
      defaultConsent: 'denied',
      idMerge: 'original',
      honorGpc: false,
      honorDnt: true,
      signals: { host: true },
      flushInterval: 10,
      batchSize: 7,
      queueLimitBytes: 8,
      queueLimitAge: 9,
      denyList: ['ssn', 'iban'],
      endpoint: '/x',
      gzip: false,
      personalData: 'redact',
      personalDataAllow: ['contact'],
    }, 0),
    ['/x', false, 2, 'contact\n', 2, true, 2, 4, 10, 7, 8, 9, 'ssn\niban\n'],
  );
});

test('signals of the app add to what the browser says, and take nothing from it', () => {
  for (const [said, signals, sum] of [[1, {}, 1], [1, { gpc: false, dnt: true }, 3], [2, { dnt: true, host: true }, 6]]) {
    assert.equal(settings('T', { endpoint: '', signals }, said)[7], sum);
  }
});

test('a setting that cannot work is named', () => {
  for (const [options, word] of [
    [{ defaultConsent: 'yes' }, /defaultConsent/],
    [{ idMerge: 1 }, /idMerge/],
    [{ honorGpc: 1 }, /honorGpc/],
    [{ signals: { gpc: 'yes' } }, /gpc/],
    [{ gzip: 1 }, /gzip/],
    [{ flushInterval: -1 }, /flushInterval/],
    [{ flushInterval: '5' }, /flushInterval/],
    [{ batchSize: 2001 }, /batchSize/],
    [{ batchSize: 0 }, /batchSize/],
    // There would be no room for anything.
    [{ queueLimitBytes: 0 }, /queueLimitBytes .* from 1 /],
    [{ queueLimitAge: 0 }, /queueLimitAge .* from 1 /],
    [{ denyList: 'ssn' }, /denyList/],
    [{ personalData: 'hash' }, /personalData must be one of: off,observe,redact,reject/],
    [{ personalDataAllow: 'contact' }, /personalDataAllow/],
    [{ denyList: [7] }, /denyList/],
    [{ denyList: ['card\nnumber'] }, /denyList/],
    [{ endpoint: new URL('https://collector.example') }, /endpoint/],
  ]) {
    assert.throws(() => settings('T', { endpoint: '/x', ...options }, 0), word);
  }
});

test('an endpoint is an address, or a path of the page\'s own origin', () => {
  for (const endpoint of [
    'localhost:8787', 'htp://x', 'javascript:1', 'collector.example', 'collect/', 'https://', 'https:x',
    'https://user:secret@x', 'https://user@x/a', 'https://x/?a=1', 'https://x#a', '/x?a=1',
  ]) assert.throws(() => settings('T', { endpoint }, 0), /endpoint/);
  for (const endpoint of ['', '/first-party', 'HTTPS://x:1/a:b', 'https://x/@a/', '//x', ' https://x\n']) assert.equal(settings('T', { endpoint }, 0)[0], endpoint);
});

test('a token is a whole text', () => {
  for (const token of [undefined, null, 7, {}, ['T'], 'T\ud800']) assert.throws(() => settings(token, { endpoint: '' }, 0), /token/);
});

test('C15 every number of the books has its name', () => {
  const [inFlight, timers, stats] = books('100,101,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,');
  assert.deepEqual([inFlight, timers], [100, 101]);
  assert.deepEqual(
    [stats.tracked, stats.adopted, stats.givenUp, stats.queuedBytes, stats.rejected],
    [1, 3, 7, 8, 11],
  );
  assert.deepEqual([stats.dropped.withdrawn, stats.dropped.unrecordable, stats.personalData], [12, 19, undefined]);
  const [, , found] = books('100,101,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,');
  assert.deepEqual(found.personalData, { email: 20, card: 21, iban: 22, jwt: 23 });
});

test('a `Retry-After` that is a date counts from the date of the answer', () => {
  const later = 'Sun, 06 Nov 1994 08:49:37 GMT';
  const date = 'Sun, 06 Nov 1994 08:47:37 GMT';
  assert.equal(inSeconds(later, date), '120');
  assert.equal(inSeconds(date, later), undefined);
  assert.equal(inSeconds(later, null), undefined, 'by this clock it has passed');
  const ahead = new Date(Date.now() + 3_600_000).toUTCString();
  assert.match(inSeconds(ahead, null), /^3(5\d\d|600)$/);
  for (const value of ['', '120', '1.5']) assert.equal(inSeconds(value, date), value);
  for (const value of [null, 'soon', 'Sun, 99 Nov 1994 08:49:37 GMT']) assert.equal(inSeconds(value, date), undefined);
});

test('a path is one of the page\'s own origin, which a page without an address does not have', (t) => {
  t.after(() => delete globalThis.location);
  for (const [origin, given, endpoint] of [
    ['https://shop.example', undefined, 'https://shop.example'],
    ['https://shop.example', '', 'https://shop.example'],
    ['https://shop.example', ' /collect', 'https://shop.example/collect'],
    ['https://shop.example', '//other.example/x', '//other.example/x'],
    ['https://shop.example', 'https://other.example', 'https://other.example'],
    ['null', '/collect', '/collect'],
    ['null', undefined, ''],
  ]) {
    globalThis.location = { origin };
    assert.equal(settings('T', { endpoint: given }, 0)[0], endpoint);
  }
});

test('an option that there is not is named, and so are those that there are', () => {
  assert.throws(() => settings('T', { endpoint: '', default_consent: 'denied' }, 0), /default_consent.*defaultConsent/);
});

/** Takes the place of `fetch` for one test. */
const fetched = (t, answer) => {
  const requests = [];
  const { fetch } = globalThis;
  t.after(() => (globalThis.fetch = fetch));
  globalThis.fetch = async (url, options) => (requests.push({ url, ...options }), answer());
  return requests;
};

test('what the requests of a page that is left carry in all is kept, however it is escaped', async (t) => {
  const requests = fetched(t, () => new Response('1'));
  const { start } = openRequests('https://x', false, () => true);
  // The module gives out 44 KiB at most for the last ones; before them some of each lane may be under way.
  const json = JSON.stringify([{ event: 'a "quoted" name', text: '{"é":[1,2]}'.repeat(700) }]);
  for (const path of ['/track/', '/engage/', '/groups/']) await start(path, json, true, new AbortController());
  for (const { body, keepalive } of requests) {
    assert.ok(keepalive);
    assert.equal(new URLSearchParams(body).get('data'), json);
    assert.ok(Buffer.byteLength(body) < Buffer.byteLength(json) + 100, 'what stands in quotes is not made longer');
  }
  const large = 'x'.repeat(7 << 10);
  for (const text of [large, 'x']) await start('/track/', text, false, new AbortController());
  assert.deepEqual(requests.slice(3).map(({ keepalive }) => keepalive), [false, true]);
});

test('that a last request has failed says nothing about preflights', async (t) => {
  const requests = fetched(t, () => Promise.reject(TypeError('failed')));
  const { start } = openRequests('https://x', false, () => true);
  for (const leaving of [true, false, false]) await start('/track/', '[]', leaving, new AbortController());
  const types = requests.map(({ headers }) => headers['Content-Type'].slice(12));
  assert.deepEqual(types, ['x-www-form-urlencoded', 'json', 'x-www-form-urlencoded']);
});
