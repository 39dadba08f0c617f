// Plays a scenario of `tests/scenarios`, whose README is the format, on a stage: pages of a real browser (`pages.mjs`),
// or processes of Node (`processes.mjs`).

import assert from 'node:assert/strict';
import { startServer } from '../../../../tests/e2e/node/mock-server.mjs';
import { check, matches, valueOf } from './pattern.mjs';

const HOSTS = ['native', 'browser', 'node', 'python', 'kotlin', 'swift'];
const RULES = [...Array(15).keys()].map((number) => 'C' + (number + 1));
export const TOKEN = 'scenario';
/** How long `soon` may take, in milliseconds; only a broken client ever uses it up. */
const SOON = 20_000;
/** Settings, by their names in a browser and what its unit is of the format's. */
const SETTINGS = {
  default_consent: ['defaultConsent'],
  honor_gpc: ['honorGpc'],
  honor_dnt: ['honorDnt'],
  flush_interval: ['flushInterval', 1000],
  batch_size: ['batchSize'],
  queue_limit_bytes: ['queueLimitBytes'],
  queue_limit_age: ['queueLimitAge', 1000],
  id_merge: ['idMerge'],
  deny_list: ['denyList'],
};

/** A scenario out of a file's text. */
export const readScenario = (text) => {
  const { name, rules, not_on = {}, fails_at: failsAt = [], steps, ...unknown } = JSON.parse(text);
  assert.deepEqual(unknown, {});
  assert.ok(name && rules.every((rule) => RULES.includes(rule)) && Array.isArray(steps));
  assert.ok(Object.keys(not_on).every((host) => HOSTS.includes(host)));
  assert.ok(failsAt.every((at) => at in steps), `fails_at ${failsAt}`);
  return { notOn: not_on, failsAt, steps };
};

/**
 * Plays it. A stage has `client(t, device)`, a client that is not there yet: `start(token, options, signals)`,
 * `evaluate(work, argument)`, `close()`, `kill()`; `stores(device)`, what the device keeps, as often as there is
 * somebody to look at it; `hurt(device, text)`, which puts a text, or nothing, in the place of the consent record;
 * `checkKept(word, raw)`; and `isConsent(item)`, of what `audit()` lists.
 */
export const play = async (t, stage, { steps, failsAt }) => {
  const scene = await openScene(t, stage);
  for (const [at, step] of steps.entries()) {
    try {
      await scene(step);
    } catch (error) {
      if (failsAt.includes(at)) continue;
      throw Error(`step ${at}: ${JSON.stringify(step)}: ${error?.message}`, { cause: error });
    }
    assert.ok(!failsAt.includes(at), `step ${at} must fail, and did not: ${JSON.stringify(step)}`);
  }
};

const openScene = async (t, stage) => {
  const server = await startServer(t);
  const clients = new Map();
  const remembered = new Map();

  const running = (name) => {
    const client = clients.get(name);
    assert.ok(client?.runs, `${name} is not running`);
    return client;
  };
  const livingOn = (device) => [...clients.values()].filter((client) => client.runs && client.device === device);

  /** What a client says of itself. */
  const state = async (client) => {
    const said = await client.stands.evaluate(async () => {
      const { r } = window;
      const { outbox, ...audit } = await r.audit();
      return {
        consent: r.consent(),
        hasOptedOut: r.hasOptedOut(),
        ids: { device_id: r.deviceId(), distinct_id: r.distinctId() },
        stats: r.stats(),
        outbox,
        audit,
      };
    });
    const { givenUp: given_up, queuedBytes: queued_bytes, ...stats } = said.stats;
    return { ...said, stats: { ...stats, given_up, queued_bytes } };
  };

  /** C15, of every client that runs. */
  const checkBooks = async () => {
    for (const [name, client] of clients) {
      if (!client.runs) continue;
      const stats = await client.stands.evaluate(() => window.r.stats());
      const dropped = Object.values(stats.dropped).reduce((sum, count) => sum + count, 0);
      const given = stats.tracked + stats.recovered + stats.adopted;
      const taken = stats.delivered + stats.queued + stats.held + dropped + stats.givenUp;
      assert.equal(given, taken, `C15: the books of ${name} do not balance: ${JSON.stringify(stats)}`);
    }
  };

  const checkState = (part) => async (pattern, { on = 'first', soon = false }) => {
    const client = running(on);
    await attempt(soon, async () => {
      const said = await state(client);
      check(pattern, said[part], 0, remembered, part);
      if (part === 'consent') checkConsent(said);
    });
  };

  const hurtConsent = (text) => async (what, { device = 'device' }) => {
    assert.equal(what, 'consent');
    assert.equal(livingOn(device).length, 0, 'a client of the device runs');
    await stage.hurt(device, text);
  };

  const search = (there) => async (texts, { device = 'device', soon = false }) => {
    const wanted = valueOf(texts, 0, remembered);
    assert.ok(wanted.length && wanted.every((text) => typeof text == 'string' && text));
    await attempt(soon, async () => {
      const raw = JSON.stringify(await stage.stores(device));
      for (const text of wanted) {
        // As it stands within a text of JSON that stands within another one.
        const written = JSON.stringify(JSON.stringify(text).slice(1, -1)).slice(1, -1);
        assert.equal(raw.includes(text) || raw.includes(written), there, `${text} is ${there ? 'not ' : ''}there`);
      }
    });
  };

  const checkStore = async (word, device) => {
    for (const raw of await stage.stores(device)) stage.checkKept(word, raw);
    for (const client of livingOn(device)) checkAudit(word, await state(client), stage.isConsent);
  };

  const checkSet = (which) => async (patterns) => {
    const { [which]: found } = await server.ask('GET', '/mock/' + which);
    assert.equal(found.length, patterns.length, `there are ${JSON.stringify(found)}`);
    const open = [...patterns];
    for (const one of found) {
      const place = open.findIndex((pattern) => matches(pattern, one, 0, remembered));
      assert.ok(place >= 0, `nobody waits for ${JSON.stringify(one)}`);
      open.splice(place, 1);
    }
  };

  const choose = (method, allowed) => async (how, { on = 'first' }) => {
    assert.ok(Object.keys(how).every((name) => allowed.includes(name)), `there is no ${Object.keys(how)}`);
    const options = { erase: how.erase, deleteProfile: how.delete_profile };
    await running(on).stands.evaluate(([method, options]) => window.r[method](options), [method, options]);
  };

  /** Every verb, with the modifiers that it takes. */
  const verbs = {
    start: [['on', 'device', 'signals'], async (settings, { on = 'first', device, signals }) => {
      const options = { endpoint: server.url, flushInterval: 3_600_000 };
      const made = { device: device ?? 'device', options, stands: stage.client(device ?? 'device') };
      const client = clients.get(on) ?? made;
      clients.set(on, client);
      assert.ok(!client.runs, 'it is running already');
      assert.ok(device === undefined || device === client.device, 'it was on another device');
      for (const [name, value] of Object.entries(settings)) {
        assert.ok(Object.hasOwn(SETTINGS, name), `there is no setting ${name}`);
        const [option, unit] = SETTINGS[name];
        client.options[option] = unit ? value * unit : value;
      }
      if (signals) client.signals = signalsOf(signals);
      await client.stands.start(TOKEN, client.options, client.signals);
      client.runs = true;
    }],
    stop: [['on'], async (how, { on = 'first' }) => {
      assert.ok(['close', 'kill'].includes(how), `a client is not stopped by ${how}`);
      const client = running(on);
      client.runs = false;
      await client.stands[how]();
    }],
    shutdown: [['on'], async (how, { on = 'first' }) => {
      assert.deepEqual(how, {});
      await running(on).stands.evaluate((timeout) => window.r.shutdown(timeout), SOON);
    }],
    call: [['with', 'gives', 'times', 'on'], async (method, modifiers) => {
      const { with: values = [], gives = 'accepted', times = 1, on = 'first' } = modifiers;
      const rejected = Object.keys(gives).join() === 'rejected';
      assert.ok(rejected || ['accepted', 'held'].includes(gives), `a call cannot give ${JSON.stringify(gives)}`);
      const calls = [...Array(times).keys()].map((index) => valueOf(values, index, remembered));
      const results = await running(on).stands.evaluate(([name, calls]) => {
        const whole = (value) => {
          if (typeof value != 'object' || value === null) return value;
          if ('@half' in value) return value['@half'] + '\ud83d';
          if (Array.isArray(value)) return value.map(whole);
          return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, whole(one)]));
        };
        return calls.map((values) => {
          values = whole(values);
          let of = window.r;
          let method = name;
          if (name.startsWith('profile.')) [of, method] = [of.profile(), name.slice(8)];
          if (name.startsWith('group.')) [of, method] = [of.group(...values.splice(0, 2)), name.slice(6)];
          return of[method](...values);
        });
      }, [method.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), calls]);
      for (const { hint, ...result } of results.map((result) => (result.rejected ? result : { result }))) {
        if (result.rejected) assert.ok(hint, `${result.rejected} has no hint`);
        assert.deepEqual(result.result ?? result, gives);
      }
    }],
    opt_in: [['on'], choose('optIn', [])],
    opt_out: [['on'], choose('optOut', ['erase', 'delete_profile'])],
    signals: [['on'], (signals, { on = 'first' }) =>
      running(on).stands.evaluate((signals) => window.r.signals(signals), signalsOf(signals))],
    flush: [['on', 'soon'], async (wanted, { on = 'first', soon = false }) => {
      assert.equal(typeof wanted, 'boolean');
      const { stands } = running(on);
      await attempt(soon, async () => assert.equal(await stands.evaluate(() => window.r.flush()), wanted, 'it answered'));
    }],
    server: [['gives', 'soon'], async ([method, path, ...body], { gives, soon = false }) => {
      assert.ok(body.length <= 1, 'a request is a method, a path and perhaps a body');
      await attempt(soon, async () => {
        const answer = await server.ask(method, path, ...valueOf(body, 0, remembered));
        if (gives !== undefined) check(gives, answer, 0, remembered);
      });
    }],
    damage: [['device'], hurtConsent('damaged')],
    remove: [['device'], hurtConsent(undefined)],
    remember: [['on'], async (what, { on = 'first' }) => {
      const { ids } = await state(running(on));
      for (const [name, id] of Object.entries(what)) {
        assert.ok(['device_id', 'distinct_id'].includes(id) && ids[id], `it has no ${id}`);
        remembered.set(name, ids[id]);
      }
    }],
    consent: [['on', 'soon'], checkState('consent')],
    ids: [['on', 'soon'], checkState('ids')],
    stats: [['on', 'soon'], checkState('stats')],
    outbox: [['on', 'soon'], checkState('outbox')],
    kept: [['device', 'soon'], (word, { device = 'device', soon = false }) =>
      attempt(soon, () => checkStore(word, device))],
    kept_with: [['device', 'soon'], search(true)],
    kept_without: [['device'], search(false)],
    arrived: [['any_order'], async (records, { any_order: anyOrder = false }) => {
      const wanted = records.flatMap((record) => {
        const whole = typeof record == 'string' ? { event: record } : record;
        const { event, properties = {}, times = 1, ...unknown } = whole;
        assert.deepEqual(unknown, {});
        assert.ok(event, 'a record has an event');
        return [...Array(times).keys()].map((index) => [{ event, properties }, index]);
      });
      // That they did not come is no answer: what did is shown.
      await server.ask('POST', '/mock/wait', { min: wanted.length, timeout_ms: SOON, limit: 0 }).catch(() => {});
      const { events } = await server.ask('GET', '/mock/events?limit=100000');
      const names = events.map(({ event }) => event);
      assert.equal(events.length, wanted.length, `${events.length} events have arrived: ${names}`);
      checkForm(events);
      for (const event of events) {
        const place = anyOrder ? wanted.findIndex(([pattern, index]) => matches(pattern, event, index, remembered)) : 0;
        assert.ok(place >= 0, `nobody waits for ${JSON.stringify(event)}; there are ${names}`);
        const [[pattern, index]] = wanted.splice(place, 1);
        check(pattern, event, index, remembered, event.event);
      }
    }],
    profiles: [[], checkSet('profiles')],
    groups: [[], checkSet('groups')],
  };

  return async (step) => {
    const isVerb = (name) => Object.hasOwn(verbs, name) && !(name === 'signals' && 'start' in step);
    const named = Object.keys(step).filter(isVerb);
    assert.equal(named.length, 1, `a step has one verb, not ${named}`);
    const { [named[0]]: argument, ...modifiers } = step;
    const [known, act] = verbs[named[0]];
    const unknown = Object.keys(modifiers).filter((name) => !known.includes(name));
    assert.deepEqual(unknown, [], `unknown: ${unknown}`);
    await act(argument, modifiers);
    await checkBooks();
  };
};

/** Signals, each of which there is. */
const signalsOf = ({ gpc = false, dnt = false, host = false, ...unknown }) => {
  assert.deepEqual(unknown, {}, 'there is no such signal');
  return { gpc, dnt, host };
};

/** Once, or until it holds. */
const attempt = async (soon, look) => {
  for (const late = Date.now() + SOON; ; ) {
    try {
      return await look();
    } catch (error) {
      if (!soon || Date.now() > late) throw error;
    }
  }
};

/** That `hasOptedOut()` does not contradict `consent()`, and there is a sentence for the person. */
const checkConsent = ({ consent, hasOptedOut }) => {
  assert.equal(hasOptedOut, consent.decision === 'denied', 'hasOptedOut() contradicts consent()');
  assert.match(consent.sentence, /\.$/);
};

/** What a client says that it keeps. */
const checkAudit = (word, { audit, ids, outbox }, isConsent) => {
  const anonymous = !ids.device_id && !ids.distinct_id;
  // What waits to try an unfinished outbox again is no timer of the app's.
  const waits = outbox.some((entry) => ['requested', 'accepted'].includes(entry.state)) ? 1 : 0;
  const quiet = !audit.queued && !audit.held && audit.timers <= waits;
  const data = audit.items.filter((item) => !isConsent(item));
  const holds = {
    untouched: anonymous && !audit.items.length,
    nothing: anonymous && !audit.items.length,
    consent: anonymous && quiet && audit.items.length > 0 && !data.length,
    data: data.length > 0,
  };
  assert.ok(holds[word], `audit() lists ${JSON.stringify(audit)}`);
};

/** What every event of a client's has. */
const checkForm = (events) => {
  const ids = new Set();
  for (const { properties, time_ms: time } of events) {
    const { $insert_id: id, $device_id: device, $lib_version: version, mp_lib: library } = properties;
    const shown = JSON.stringify(properties);
    assert.ok(/^[0-9a-f]{32}$/.test(id) && !ids.has(id), shown);
    assert.ok(device.length === 36 && library.startsWith('refrain-') && version && time > 0, shown);
    ids.add(id);
  }
};
