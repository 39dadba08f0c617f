// Time: moved, and watched for what goes.

import { get, put } from '../api.js';
import { empty, field, figures, h, moment, say, table } from '../dom.js';

const STEPS = [['one hour', 'PT1H'], ['one day', 'P1D'], ['30 days', 'P30D'], ['one year', 'P1Y'], ['five years', 'P5Y']];

export async function clock(context) {
  const [seen, { projects }, audit] = await Promise.all([get('/clock'), get('/projects'), get('/audit', { order: 'newest', limit: 1 })]);
  let last = audit.audit[0]?.id ?? 0;
  const gone = h('div', { 'aria-live': 'polite' });
  const soon = h('div', {}, next(projects));
  const now = h('p', { class: 'big' }, `${moment(seen.now).slice(0, 19)} UTC`);
  const mode = h('p', { class: 'soft' });
  const state = (one) => {
    now.textContent = `${moment(one.now).slice(0, 19)} UTC`;
    mode.textContent = one.frozen ? 'The clock stands still.' : 'The clock runs.';
  };
  state(seen);
  const move = async (change, words) => {
    const before = await get('/projects');
    state(await put('/clock', change));
    const [after, noted] = await Promise.all([get('/projects'), get('/audit', { after: last, limit: 1000 })]);
    if (!context.isShown()) return;
    gone.replaceChildren(what(words, before.projects, after.projects, noted.audit.filter(({ id }) => id > last)));
    last = noted.audit.at(-1)?.id ?? last;
    soon.replaceChildren(next(after.projects));
    say(words);
  };
  const custom = h('input', { name: 'duration', placeholder: 'P400D', required: true });
  const instant = h('input', { name: 'instant', type: 'datetime-local', step: 1, required: true });
  return h('div', {}, h('h1', {}, 'Clock'),
    h('p', { class: 'lead' }, 'Five years pass in a moment. All that falls due on the way is done, in order, before the answer: retention, privacy tasks, the end of archives and of hidden data.'),
    h('section', { class: 'card' }, now, mode,
      h('div', { class: 'row' }, STEPS.map(([name, duration]) => h('button', { class: duration === 'P5Y' ? 'main' : null, onclick: () => move({ advance: duration }, `Advanced ${name}.`) }, `Advance ${name}`))),
      h('div', { class: 'row' },
        h('form', { class: 'row', onsubmit: (event) => { event.preventDefault(); move({ advance: custom.value }, `Advanced ${custom.value}.`); } },
          field('By an ISO 8601 duration', custom), h('button', {}, 'Advance')),
        h('form', { class: 'row', onsubmit: (event) => { event.preventDefault(); move({ now: `${instant.value.length === 16 ? `${instant.value}:00` : instant.value}Z` }, 'Set.'); } },
          field('To an instant, UTC', instant), h('button', {}, 'Set')),
        h('button', { onclick: () => move({ frozen: true }, 'The clock stands still.') }, 'Stop'),
        h('button', { onclick: () => move({ frozen: false }, 'The clock runs.') }, 'Let run'),
        h('button', { onclick: () => move({ real: true }, 'Back to real time.') }, 'Real time'))),
    gone,
    h('h2', {}, 'What expires next'), soon);
}

/** What each project loses next. */
export function next(projects) {
  const rows = projects.flatMap((one) => Object.entries(one.next_expiry).filter(([, at]) => at).map(([kind, at]) => ({ project: one.project, kind, at }))
    .concat(one.hidden.map((hidden) => ({ project: one.project, kind: `hidden by a ${hidden.cause}`, at: hidden.purged_at }))));
  rows.sort((a, b) => a.at.localeCompare(b.at));
  if (rows.length === 0) return empty('Nothing expires', h('p', {}, 'There is no data yet, or its retention is off.'));
  return table('The first of each kind', [
    { title: 'When', class: 'time', cell: (row) => moment(row.at) },
    { title: 'Project', cell: (row) => row.project },
    { title: 'What', cell: (row) => row.kind },
  ], rows);
}

function what(words, before, after, noted) {
  const events = (projects) => projects.reduce((sum, one) => sum + one.events, 0);
  const expired = noted.filter(({ action }) => action === 'retention.swept').reduce((sum, { counts }) => sum + counts.events, 0);
  const erased = noted.filter(({ action }) => action.endsWith('.completed')).reduce((sum, { counts }) => sum + counts.events, 0);
  return h('section', { class: 'card' }, h('h2', {}, `${words} What went`),
    figures([['events before', events(before)], ['events now', events(after)], ['expired', expired], ['in privacy tasks', erased]]),
    noted.length
      ? table('From the audit', [
        { title: 'At', class: 'time', cell: (row) => moment(row.at) },
        { title: 'What', cell: (row) => row.action },
        { title: 'By which rule', cell: (row) => row.rule },
        { title: 'Project', cell: (row) => row.project ?? '' },
        { title: 'Events', class: 'number', cell: (row) => row.counts.events },
        { title: 'Profiles', class: 'number', cell: (row) => row.counts.profiles },
      ], noted)
      : h('p', { class: 'soft' }, 'Nothing was due.'));
}
