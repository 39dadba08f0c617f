// What arrived on the wire, and the counters.

import { get } from '../api.js';
import { empty, figures, h, moment, table } from '../dom.js';

const SHOWN = 500;

export async function requests(context) {
  context.changed = () => context.again();
  const [stats, list] = await Promise.all([get('/stats'), get('/requests')]);
  const rows = list.requests.slice(-SHOWN).reverse();
  const tone = (status) => (status === null || status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'good');
  const columns = [
    { title: 'Time', class: 'time', cell: (one) => moment(one.time) },
    { title: 'Method', cell: (one) => one.method },
    { title: 'Path', cell: (one) => one.path },
    { title: 'Status', cell: (one) => h('span', { class: tone(one.status) }, one.status ?? 'cut') },
    { title: 'Records', class: 'number', cell: (one) => one.records },
    { title: 'Bytes', class: 'number', cell: (one) => one.decoded_bytes.toLocaleString('en') },
    { title: 'Encoding', cell: (one) => one.encoding },
    { title: 'Library', cell: (one) => one.library ?? '' },
    { title: '', cell: (one) => one.fault && h('span', { class: 'badge warn' }, 'fault') },
  ];
  const dropped = Object.entries(stats.suppressed_by).filter(([, count]) => count > 0).map(([name, count]) => `${name.replaceAll('_', ' ')} ${count}`);
  return h('div', {}, h('h1', {}, 'Requests'),
    h('p', { class: 'lead' }, 'Neither query strings nor bodies nor addresses are kept. Calls of the control API are not counted: looking is not arriving.'),
    figures(['received', 'stored', 'duplicates', 'rejected', 'suppressed', 'expired', 'erased'].map((name) => [name, stats[name]])),
    dropped.length > 0 && h('p', { class: 'soft' }, `Suppressed: ${dropped.join(', ')}.`),
    rows.length
      ? table(`${rows.length} of ${list.total.toLocaleString('en')}, the newest first`, columns, rows)
      : empty('No request yet', h('p', {}, 'Point a client at ', h('code', {}, location.origin), '. For a browser: ',
        h('code', {}, `mixpanel.init('T', { api_host: '${location.origin}' })`), '.')));
}
