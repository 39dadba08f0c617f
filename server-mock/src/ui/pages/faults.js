// Failures on request.

import { get, post, remove } from '../api.js';
import { count, empty, field, h, say, table } from '../dom.js';

const PRESETS = [
  ['Reset after storing, once', { match: { method: 'POST', path: '/track', count: 1 }, act: { close: 'after_store' } }],
  ['Reset before storing, once', { match: { method: 'POST', path: '/track', count: 1 }, act: { close: 'before_store' } }],
  ['429 with Retry-After, three times', { match: { method: 'POST', path: '/track', count: 3 }, act: { status: 429, retry_after: 2 } }],
  ['413 above 10 records', { match: { method: 'POST', path: '/track', min_records: 11 }, act: { status: 413 } }],
  ['A captive portal’s 200', { match: { path: '/track', count: 1 }, act: { status: 200, body: '<html>Welcome to the Wi-Fi</html>' } }],
  ['503 for every second request, seeded', { match: { path: '/track', probability: 0.5, seed: 7 }, act: { status: 503, retry_after: 1 } }],
  ['Slow answers, two seconds', { match: { path: '/track' }, act: { delay_ms: 2000 } }],
  ['Answers cut after 5 bytes', { match: { path: '/track', count: 1 }, act: { truncate: 5 } }],
  ['An export that fails after 2 events', { match: { path: '/api/2.0/export', count: 1 }, act: { terminate_after: 2 } }],
];

export async function faults(context) {
  context.changed = () => redraw();
  const rules = h('div', {});
  const text = h('textarea', { name: 'rule', rows: 9, spellcheck: 'false', value: JSON.stringify(PRESETS[0][1], null, 1) });
  const draw = ({ faults: list }) => {
    const columns = [
      { title: 'Meets', cell: (rule) => h('code', {}, JSON.stringify(rule.match)) },
      { title: 'Does', cell: (rule) => h('code', {}, JSON.stringify(rule.act)) },
      { title: 'Matched', class: 'number', cell: (rule) => rule.seen },
      { title: 'Acted', class: 'number', cell: (rule) => rule.hits },
    ];
    rules.replaceChildren(list.length
      ? table(`${count(list.length, 'rule')}, tried in this order; the first that meets a request decides`, columns, list)
      : empty('No faults: everything is answered as it should be', h('p', {}, 'Choose a failure below and send something. What breaks other SDKs can be played against yours: lost answers, rate limits, garbage from a hotel’s Wi-Fi.')));
  };
  const redraw = async () => {
    const list = await get('/faults');
    if (context.isShown()) draw(list);
  };
  const add = async (event) => {
    event.preventDefault();
    let rule;
    try {
      rule = JSON.parse(text.value);
    } catch {
      say('The rule is not JSON.');
      text.focus();
      return;
    }
    draw(await post('/faults', rule));
    say('The rule was added.');
  };
  const clear = async () => {
    draw(await remove('/faults'));
    say('All rules are gone.');
  };
  draw(await get('/faults'));
  return h('div', {}, h('h1', {}, 'Faults'), h('p', { class: 'lead' }, 'Rules for everything that clients send. The control API and these pages are never met.'),
    rules, h('p', {}, h('button', { class: 'danger', onclick: clear }, 'Drop all rules')),
    h('form', { class: 'card', onsubmit: add }, h('h2', {}, 'Add a rule'),
      h('div', { class: 'row' }, PRESETS.map(([name, rule]) => h('button', { type: 'button', onclick: () => (text.value = JSON.stringify(rule, null, 1)) }, name))),
      field('The rule as JSON', text),
      h('p', {}, h('button', { class: 'main' }, 'Add'))));
}
