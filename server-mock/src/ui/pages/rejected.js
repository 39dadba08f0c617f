// What was refused, and why.

import { get } from '../api.js';
import { empty, h, moment, table } from '../dom.js';

export async function rejected(context) {
  context.changed = () => context.again();
  const list = await get('/rejected');
  const rows = list.rejected.reverse();
  const columns = [
    { title: 'Time', class: 'time', cell: (one) => moment(one.time) },
    { title: 'Route', class: 'whole', cell: (one) => one.route },
    { title: 'Why', cell: (one) => h('strong', {}, one.reason) },
    { title: 'Project', cell: (one) => one.project ?? h('span', { class: 'soft' }, 'not known') },
    { title: 'Place', class: 'number', cell: (one) => one.index },
    { title: 'Bytes', class: 'number', cell: (one) => one.bytes.toLocaleString('en') },
    {
      title: 'Fields',
      cell: (one) => (one.content === undefined
        ? h('span', { class: 'soft' }, one.fields.join(', '))
        : h('details', {}, h('summary', {}, one.fields.join(', ') || 'content'), h('pre', {}, JSON.stringify(one.content, null, 2)))),
    },
  ];
  return h('div', {}, h('h1', {}, 'Rejected records'),
    h('p', { class: 'lead' }, 'Reason, size and names of fields. Contents are shown only where the setting ', h('code', {}, 'keep_rejected'),
      ' is on, from memory, and never of a person who objected or was erased.'),
    rows.length
      ? table(`${rows.length} of ${list.total.toLocaleString('en')}, the newest first`, columns, rows)
      : empty('Nothing was refused', h('p', {}, 'Clients are told ', h('code', {}, '1'), ' or ', h('code', {}, '0'), ' and mostly do not say why. A record that is refused is listed here with its reason, for example:'),
        h('pre', {}, `curl ${location.origin}/track -d '{"event":"A","properties":{"token":"T","time":"yesterday"}}'`)));
}
