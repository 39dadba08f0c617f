// Persons, and what hangs together with one of them.

import { get } from '../api.js';
import { empty, field, h, moment, select, short, summary, table } from '../dom.js';
import { person as link } from './events.js';

export async function people(context) {
  return context.part === 'one' ? one(context) : list(context);
}

async function list(context) {
  const project = context.parameters.get('project') ?? '';
  const [{ projects }, found] = await Promise.all([get('/projects'), get('/people', { project })]);
  const tokens = [['', 'all'], ...projects.map((one) => one.project)];
  const go = (event) => (location.hash = event.target.value ? `#/people?project=${encodeURIComponent(event.target.value)}` : '#/people');
  const id = h('input', { name: 'id', required: true });
  const look = (event) => {
    event.preventDefault();
    location.hash = link({ project: project || tokens[1], distinct_id: id.value });
  };
  const columns = [
    { title: 'Person', cell: (one) => h('a', { href: link(one) }, one.distinct_id) },
    { title: 'Kind', cell: (one) => h('span', { class: 'soft' }, one.anonymous ? 'device' : 'user') },
    { title: 'Project', cell: (one) => one.project },
    { title: 'Events', class: 'number', cell: (one) => one.events.toLocaleString('en') },
    { title: 'Last seen', class: 'time', cell: (one) => moment(one.last_seen) },
  ];
  return h('div', {}, h('h1', {}, 'People'),
    h('p', { class: 'lead' }, 'Each person once, with all that is linked: devices belong to the first user that they were seen with, and merged ids are one.'),
    h('div', { class: 'row' }, field('Project', select('project', tokens, project, go)),
      tokens.length > 1 && h('form', { class: 'row', onsubmit: look, role: 'search' }, field('Any id of a person', id), h('button', {}, 'Look up'))),
    found.people.length
      ? table(`${found.people.length} of ${found.total.toLocaleString('en')} persons, among the newest events`, columns, found.people)
      : empty('Nobody has been seen yet', h('p', {}, 'A person appears with the first event that carries a ', h('code', {}, 'distinct_id'), ', a ', h('code', {}, '$user_id'), ' or a ', h('code', {}, '$device_id'), ', or with a profile.')));
}

async function one(context) {
  const [project, id] = [context.parameters.get('project'), context.parameters.get('distinct_id')];
  const back = h('p', {}, h('a', { href: '#/people' }, 'All people'));
  let found;
  try {
    found = await get('/person', { project, distinct_id: id });
  } catch (error) {
    if (error.status !== 404) throw error;
    return h('div', {}, h('h1', {}, 'One person'), back, empty('Nothing is known of this id', h('p', {}, 'It was never seen, has expired, or was erased.')));
  }
  const { events } = await get('/events', { project, distinct_id: found.distinct_id, order: 'newest', limit: 20 });
  const ask = (kind) => `#/privacy?${new URLSearchParams({ kind, project, distinct_id: found.distinct_id })}`;
  return h('div', {}, h('h1', {}, found.distinct_id), back,
    h('p', {}, found.suppressed && h('span', { class: 'badge warn' }, 'objected: new records are dropped'), ' ', h('span', { class: 'badge' }, project)),
    h('div', { class: 'cards' },
      h('section', { class: 'card' }, h('h2', {}, 'Identity cluster'), h('ul', { class: 'ids' }, found.ids.map((text) => h('li', {}, h('code', {}, text)))),
        found.combinations.length > 0 && table('Combinations of ids that records came under', [
          { title: 'Device', cell: (row) => row.device_id ?? '' },
          { title: 'User', cell: (row) => row.user_id ?? '' },
          { title: 'Also named', cell: (row) => row.also.join(', ') },
        ], found.combinations)),
      h('section', { class: 'card' }, h('h2', {}, 'What is held'),
        h('dl', {}, h('dt', {}, 'Events'), h('dd', {}, found.events.toLocaleString('en')), h('dt', {}, 'First'), h('dd', {}, moment(found.first_event) || 'none'),
          h('dt', {}, 'Last'), h('dd', {}, moment(found.last_event) || 'none'),
          h('dt', {}, 'Groups'), h('dd', {}, found.groups.map((group) => `${group.group_key} ${group.group_id}`).join(', ') || 'none')),
        h('div', { class: 'row' }, h('a', { class: 'button', href: ask('access') }, 'Access'), h('a', { class: 'button', href: ask('objection') }, 'Objection'),
          h('a', { class: 'button', href: ask('erasure') }, 'Erasure'))),
      found.profiles.map((profile) => h('section', { class: 'card' }, h('h2', {}, 'Profile'),
        table(`of ${profile.distinct_id}, last seen ${moment(profile.last_seen)}`, [
          { title: 'Property', cell: ([name]) => name },
          { title: 'Value', cell: ([, value]) => short(value, 200) },
        ], Object.entries(profile.properties))))),
    h('h2', {}, 'Newest events'),
    events.length
      ? table(`${events.length} of ${found.events}`, [
        { title: 'Happened', class: 'time', cell: (event) => moment(event.time) },
        { title: 'Event', cell: (event) => event.event },
        { title: 'Properties', cell: (event) => h('span', { class: 'soft' }, summary(event.properties)) },
      ], events)
      : empty('No events', h('p', {}, 'Only a profile is known.')));
}
