// What arrives, as it arrives; and one event's detail.

import { get } from '../api.js';
import { empty, field, h, moment, select, short, summary, table } from '../dom.js';

const PAGE = 100;
const FILTERS = ['project', 'event', 'distinct_id', 'insert_id'];

export async function events(context) {
  const filters = Object.fromEntries(FILTERS.map((name) => [name, context.parameters.get(name) ?? '']));
  const [{ projects }, first] = await Promise.all([get('/projects'), get('/events', { ...filters, order: 'newest', limit: PAGE })]);
  const list = { events: first.events, total: first.total, next: first.next };
  const live = h('input', { type: 'checkbox', checked: true });
  const listing = h('div', {});
  const detail = h('div', {});
  const split = h('div', { class: 'split' }, listing, detail);
  let chosen = null;

  const choose = (event) => {
    chosen = event;
    split.classList.toggle('open', Boolean(event));
    detail.replaceChildren(...(event ? [shown(event, () => choose(null))] : []));
    draw();
  };
  const draw = (fresh = new Set()) => {
    listing.replaceChildren(listed(list, chosen, fresh, choose, async () => {
      const more = await get('/events', { ...filters, order: 'newest', limit: PAGE, after: list.next });
      list.events.push(...more.events);
      list.next = more.next;
      draw();
    }, Object.values(filters).some(Boolean)));
  };

  // Also what is erased or expired goes from the list, not only what is new comes to it.
  context.changed = async () => {
    if (!live.checked) return;
    const known = new Set(list.events.map(({ id }) => id));
    Object.assign(list, await get('/events', { ...filters, order: 'newest', limit: Math.max(PAGE, list.events.length) }));
    if (context.isShown()) draw(new Set(list.events.map(({ id }) => id).filter((id) => !known.has(id))));
  };

  const search = (submitted) => {
    submitted?.preventDefault();
    const given = [...new FormData(form)].filter(([name, value]) => FILTERS.includes(name) && value);
    location.hash = given.length ? `#/events?${new URLSearchParams(given)}` : '#/events';
  };
  const tokens = [['', 'all'], ...projects.map(({ project }) => project)];
  const form = h('form', { class: 'row', onsubmit: search, role: 'search' },
    field('Project', select('project', tokens, filters.project, () => search())),
    field('Event', h('input', { name: 'event', value: filters.event })),
    field('Person', h('input', { name: 'distinct_id', value: filters.distinct_id })),
    field('Insert id', h('input', { name: 'insert_id', value: filters.insert_id })),
    h('button', { class: 'main' }, 'Filter'),
    h('a', { class: 'button', href: '#/events' }, 'Clear'),
    h('label', { class: 'check' }, live, 'Live'));
  draw();
  return h('div', {}, h('h1', {}, 'Events'),
    h('p', { class: 'lead' }, 'What clients sent and the server stored, under the person that each event belongs to now.'), form, split);
}

function listed(list, chosen, fresh, choose, more, isFiltered) {
  if (list.events.length === 0) {
    if (isFiltered) return empty('Nothing fits these filters', h('p', {}, 'Other events may be there: clear the filters to see them.'));
    return empty('Nothing has arrived yet', h('p', {}, 'Point a Mixpanel client, or Refrain, at this server, or send a first event by hand:'),
      h('pre', {}, `curl ${location.origin}/track -d '{"event":"Signed up","properties":{"token":"T","distinct_id":"u1"}}'`),
      h('p', {}, 'It shows up here as it arrives.'));
  }
  const columns = [
    { title: 'Received', class: 'time', cell: (event) => moment(event.received_at) },
    { title: 'Event', cell: (event) => h('button', { class: 'plain', onclick: () => choose(event), 'aria-expanded': String(event.id === chosen?.id) }, event.event) },
    { title: 'Person', class: 'id', cell: (event) => (event.distinct_id ? h('a', { href: person(event) }, event.distinct_id) : h('span', { class: 'soft' }, 'nobody')) },
    { title: 'Project', cell: (event) => event.project },
    { title: 'Properties', cell: (event) => h('span', { class: 'soft' }, summary(event.properties)) },
  ];
  const attributes = (event) => ({ 'aria-selected': event.id === chosen?.id ? 'true' : null, class: fresh.has(event.id) ? 'fresh' : null });
  return h('div', {}, table(`${list.events.length} of ${list.total.toLocaleString('en')} events, the newest first`, columns, list.events, attributes),
    list.next !== null && h('p', {}, h('button', { onclick: more }, 'Older')));
}

export function person({ project, distinct_id: id }) {
  return `#/people/one?${new URLSearchParams({ project, distinct_id: id })}`;
}

function shown(event, close) {
  const rows = Object.entries(event.properties);
  const columns = [
    { title: 'Property', class: 'name', cell: ([name]) => name },
    { title: 'Value', cell: ([, value]) => [short(value, 500), ' ', h('span', { class: 'soft' }, kind(value))] },
  ];
  return h('section', { class: 'card', 'aria-label': 'One event' },
    h('div', { class: 'row' }, h('h2', {}, event.event), h('button', { onclick: close }, 'Close')),
    h('dl', {}, h('dt', {}, 'Happened'), h('dd', {}, moment(event.time)), h('dt', {}, 'Received'), h('dd', {}, moment(event.received_at)),
      h('dt', {}, 'Person'), h('dd', {}, event.distinct_id ?? 'nobody'), h('dt', {}, 'Project'), h('dd', {}, event.project),
      h('dt', {}, 'Number'), h('dd', {}, event.id)),
    table(`${rows.length} properties`, columns, rows),
    h('details', {}, h('summary', {}, 'As JSON'), h('pre', {}, JSON.stringify(event, null, 2))));
}

/** What a value is, where its looks do not say it. */
function kind(value) {
  if (typeof value !== 'string') return '';
  return value !== '' && !Number.isNaN(Number(value)) ? 'text' : '';
}
