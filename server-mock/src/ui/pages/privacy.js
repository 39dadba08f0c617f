// The privacy portal: requests of end users, tasks, the audit, retention, and the account holder's own data.

import { download, get, post, put, query, remove } from '../api.js';
import { agreed, count, empty, field, h, moment, say, select, table } from '../dom.js';
import { next } from './clock.js';

const PARTS = [['', 'End users'], ['tasks', 'Tasks'], ['audit', 'Audit'], ['retention', 'Retention'], ['account', 'Your account']];
const ACCOUNT = 'refrain-mock-account';

export async function privacy(context) {
  const { accounts } = await get('/portal/accounts');
  const kept = sessionStorage.getItem(ACCOUNT);
  const account = accounts.includes(kept) ? kept : accounts[0];
  const parts = { '': endUsers, tasks, audit, retention, account: own };
  const part = Object.hasOwn(parts, context.part) ? context.part : '';
  const links = PARTS.map(([name, title]) => {
    const href = name ? `#/privacy/${name}` : '#/privacy';
    return h('li', {}, h('a', { href, 'aria-current': name === part ? 'page' : null }, title));
  });
  const choose = (event) => {
    sessionStorage.setItem(ACCOUNT, event.target.value);
    context.again();
  };
  if (context.isFirst) await use(account, `opened ${PARTS.find(([name]) => name === part)[1].toLowerCase()}`);
  return h('div', {}, h('h1', {}, 'Privacy'),
    h('div', { class: 'row tabs' }, h('nav', { class: 'sub', 'aria-label': 'Privacy' }, h('ul', {}, links)),
      h('div', { class: 'end' }, field('Account holder', select('account', accounts, account, choose)))),
    await parts[part](context, account));
}

/** Records what the account holder did; the server does not, where they said no. */
const use = (account, action) => post(query('/portal/account/usage', { account }), { action });

const KINDS = [
  ['access', 'Access and portability', 'Everything that is held about the person, as an archive to download.', 'Ask for access'],
  ['erasure', 'Erasure', 'Events, profile, replays and mentions in groups, of all ids that belong to the person. After the staging time nothing can bring them back.', 'Ask for erasure'],
  ['objection', 'Objection', 'Records of the person are dropped on arrival from now on, under any of the linked ids. What is there stays; ask for erasure, too, if it should go.', 'Note the objection'],
];

async function endUsers(context, account) {
  const { projects } = await get('/projects');
  if (projects.length === 0) {
    return empty('There is no project yet', h('p', {}, 'A project appears with its first event, or in the configuration. Then the requests of its end users are entered here.'));
  }
  const tokens = projects.map(({ project }) => project);
  const form = ([kind, title, text, verb]) => {
    const isAsked = context.parameters.get('kind') === kind;
    const project = select('project', tokens, context.parameters.get('project') ?? tokens[0]);
    const given = (isAsked && context.parameters.get('distinct_id')) || '';
    // An id may hold anything, a line break too: one that was handed over stays one, so that nobody else is meant.
    const ids = h('textarea', { name: 'ids', class: 'ids', required: true, placeholder: 'u1\n$device:…', value: given, readonly: /[\r\n]/.test(given), autofocus: isAsked });
    const untouched = ids.value;
    const listed = () => (given && ids.value === untouched ? [given] : ids.value.split('\n').filter((id) => id !== ''));
    const law = kind === 'objection' ? null : select('law', ['GDPR', 'CCPA'], 'GDPR');
    const submit = async (event) => {
      event.preventDefault();
      const list = listed();
      if (kind === 'erasure' && !(await agreed('Erase these persons?', `Everything about ${count(list.length, 'id')} and all that are linked in project ${project.value} will be erased. It can be cancelled until it starts.`, 'Erase', list))) return;
      await post('/portal/requests', { kind, project: project.value, distinct_ids: list, account, ...(law && { compliance_type: law.value }) });
      await use(account, `entered a request: ${kind}`);
      say(kind === 'objection' ? 'The objection holds from now on.' : 'The request is taken; see Tasks.');
      if (kind === 'objection') {
        ids.value = '';
        ids.readOnly = false;
      } else location.hash = '#/privacy/tasks';
    };
    return h('form', { class: 'card', onsubmit: submit, 'aria-labelledby': `form-${kind}` }, h('h2', { id: `form-${kind}` }, title), h('p', { class: 'soft' }, text),
      h('div', { class: 'row' }, field('Project', project), law && field('Under which law', law)),
      h('div', { class: 'row' }, field('Ids, one on each line, as they were sent', ids)),
      h('button', { class: 'main' }, verb));
  };
  const objected = projects.filter(({ suppressed }) => suppressed > 0);
  return h('div', {}, h('p', { class: 'lead' }, 'What an end user may ask of whoever collects: to know, to be forgotten, to be left alone. The account holder enters it here; SDKs ask for the erasure of their own device by themselves.'),
    h('div', { class: 'cards' }, KINDS.map(form)),
    objected.length > 0 && table('Who is on the lists cannot be read from them: they are keyed hashes', [
      { title: 'Project', cell: (one) => one.project },
      { title: 'Persons who objected', class: 'number', cell: (one) => one.suppressed },
    ], objected));
}

async function tasks(context) {
  context.changed = () => context.again();
  const [{ tasks: list }, clock] = await Promise.all([get('/tasks'), get('/clock')]);
  if (list.some(({ status }) => ['PENDING', 'STAGING', 'STARTED'].includes(status))) {
    const timer = setTimeout(() => context.again(), 1000);
    if (!context.isShown()) clearTimeout(timer);
  }
  if (list.length === 0) {
    return empty('No task yet', h('p', {}, 'Requests for access and erasure become tasks: entered under End users, by the GDPR API, or by a device that withdraws.'));
  }
  const now = Date.parse(clock.now);
  const share = (task) => {
    const [from, to] = [Date.parse(task.requested_at), Date.parse(task.due_at)];
    return to > from ? Math.min(1, Math.max(0, (now - from) / (to - from))) : 1;
  };
  const cancel = (task) => async () => {
    await post(`/tasks/${task.id}/cancel`);
    say('The erasure is cancelled.');
    context.again();
  };
  const tone = { SUCCESS: 'good', REVOKED: 'soft' };
  return table(`${count(list.length, 'task')}, the newest first`, [
    { title: 'Asked for', class: 'time', cell: (task) => moment(task.requested_at) },
    { title: 'What', cell: (task) => ({ deletion: 'erasure', retrieval: 'access', device_erasure: 'erasure by a device' })[task.kind] },
    { title: 'Project', cell: (task) => task.project },
    { title: 'Ids', class: 'number', cell: (task) => task.distinct_id_count },
    {
      title: 'State',
      cell: (task) => [h('span', { class: `badge ${tone[task.status] ?? 'warn'}` }, task.status.toLowerCase()), ' ',
        ['PENDING', 'STAGING'].includes(task.status) && h('progress', { value: share(task), max: 1, 'aria-label': 'until it starts' })],
    },
    { title: 'Done', class: 'time', cell: (task) => moment(task.finished_at) || `due ${moment(task.due_at)}` },
    { title: 'Events', class: 'number', cell: (task) => task.counts.events },
    { title: 'Profiles', class: 'number', cell: (task) => task.counts.profiles },
    {
      title: '',
      cell: (task) => [
        task.archive_until && h('button', { onclick: () => download(`/tasks/${task.id}/archive`, `access-${task.id}.zip`) }, 'Download'),
        task.cancelable && h('button', { class: 'danger', onclick: cancel(task) }, 'Cancel'),
      ],
    },
  ], list);
}

async function audit() {
  const { audit: rows, total } = await get('/audit', { order: 'newest' });
  if (rows.length === 0) {
    return empty('The audit is empty', h('p', {}, 'What was erased, expired or exported is noted here: when, by which rule, how much. Nothing in it is personal data, and no entry can be changed.'));
  }
  return table(`${rows.length} of ${total.toLocaleString('en')} entries, the newest first`, [
    { title: 'At', class: 'time', cell: (row) => moment(row.at) },
    { title: 'What', cell: (row) => row.action },
    { title: 'By which rule', cell: (row) => row.rule },
    { title: 'Project', cell: (row) => row.project ?? '' },
    { title: 'Events', class: 'number', cell: (row) => row.counts.events },
    { title: 'Profiles', class: 'number', cell: (row) => row.counts.profiles },
    { title: 'Replays', class: 'number', cell: (row) => row.counts.replays },
  ], rows);
}

const DAYS = [
  ['retention_events_days', 'Events, days'],
  ['retention_profiles_days', 'Profiles, days since last seen'],
  ['retention_replays_days', 'Replays, days'],
  ['soft_delete_days', 'Grace of deleted projects, 60 to 90 days'],
];

async function retention(context) {
  const [config, { projects }] = await Promise.all([get('/config'), get('/projects')]);
  const settings = config.settings ?? {};
  const preset = select('preset', [['', 'none'], ['gdpr-page', 'gdpr-page: 1825 days since receipt'], ['mixpanel-2025', 'mixpanel-2025: 730 days by event date']], settings.preset ?? '');
  const basis = select('retention_basis', [['', 'as the preset says'], ['received', 'receipt'], ['event_date', 'the event’s date']], settings.retention_basis ?? '');
  const inputs = DAYS.map(([name, title]) => [name, title, h('input', { name, value: settings[name] ?? '', placeholder: 'default', pattern: 'off|[0-9]+', title: 'a number of days, or off' })]);
  const submit = async (event) => {
    event.preventDefault();
    const changed = { ...settings };
    for (const [name, control] of [['preset', preset], ['retention_basis', basis], ...inputs.map(([name, , input]) => [name, input])]) {
      if (control.value === '') delete changed[name];
      else changed[name] = /^\d+$/.test(control.value) ? Number(control.value) : control.value;
    }
    await put('/config', { ...config, settings: changed });
    say('The settings are in force; what they let expire is gone.');
    context.again();
  };
  const act = (project, what, text) => async () => {
    const verb = what[0].toUpperCase() + what.slice(1);
    if (text && !(await agreed(`${verb} this project?`, text, verb))) return;
    await post(`/projects/${encodeURIComponent(project)}/${what}`);
    say(`${verb} ${project}: done.`);
    context.again();
  };
  const card = (one) => h('section', { class: 'card' }, h('h3', {}, one.project, ' ', h('span', { class: `badge ${one.state === 'live' ? 'good' : 'bad'}` }, one.state)),
    h('dl', {}, h('dt', {}, 'Events'), h('dd', {}, one.events.toLocaleString('en')),
      h('dt', {}, 'Kept'), h('dd', {}, one.retention.events_days === null ? 'for ever' : `${one.retention.events_days} days after ${one.retention.basis === 'received' ? 'receipt' : 'the event’s date'}`),
      h('dt', {}, 'Profiles'), h('dd', {}, one.retention.profiles_days === null ? 'for ever' : `${one.retention.profiles_days} days after they were last seen`),
      h('dt', {}, 'Replays'), h('dd', {}, one.retention.replays_days === null ? 'for ever' : `${one.retention.replays_days} days`),
      h('dt', {}, 'Objections'), h('dd', {}, one.suppressed)),
    one.hidden.map((hidden) => h('p', { class: 'warn' }, `Data hidden by a ${hidden.cause} is deleted for good on ${moment(hidden.purged_at)}.`)),
    h('div', { class: 'row' },
      one.hidden.length > 0 && h('button', { onclick: act(one.project, 'restore') }, 'Restore'),
      one.state === 'live' && h('button', { class: 'danger', onclick: act(one.project, 'reset', `All data of ${one.project} is hidden at once and deleted for good after ${one.retention.soft_delete_days} days. It goes on collecting.`) }, 'Reset'),
      one.state === 'live' && h('button', { class: 'danger', onclick: act(one.project, 'delete', `${one.project} is hidden at once and deleted for good after ${one.retention.soft_delete_days} days. What arrives for it is dropped.`) }, 'Delete')));
  return h('div', {}, h('p', { class: 'lead' }, 'What is outside of its window is invisible from the first instant, swept or not. Settings of a single project stand in the configuration.'),
    h('form', { class: 'card', onsubmit: submit }, h('h2', {}, 'Settings of all projects'),
      h('div', { class: 'row' }, field('Preset', preset), field('Counted from', basis), inputs.map(([, title, input]) => field(title, input))),
      h('button', { class: 'main' }, 'Put in force')),
    h('h2', {}, 'What expires next'), next(projects),
    h('h2', {}, 'Projects'),
    projects.length ? h('div', { class: 'cards' }, projects.map(card)) : empty('There is no project yet', h('p', {}, 'A project appears with its first event, or in the configuration.')));
}

async function own(context, account) {
  const data = await get('/portal/account', { account });
  const record = h('input', { type: 'checkbox', checked: !data.record_usage });
  record.addEventListener('change', async () => {
    await put(query('/portal/account/recording', { account }), { record_usage: !record.checked });
    say(record.checked ? 'Your use is not recorded any more.' : 'Your use is recorded.');
    context.again();
  });
  const erase = async () => {
    const { erased } = await remove(query('/portal/account/usage', { account }));
    say(`Erased: ${count(erased, 'entry', 'entries')}.`);
    context.again();
  };
  const save = () => {
    const link = h('a', { href: URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' })), download: 'account.json' });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return h('div', {}, h('p', { class: 'lead' }, 'An account holder is a person, too: what is held about you, and a say in it.'),
    h('div', { class: 'cards' },
      h('section', { class: 'card' }, h('h2', {}, account),
        h('ul', { class: 'ids' }, data.access.map((one) => h('li', {}, one.kind === 'oauth'
          ? `OAuth token${one.expires ? `, until ${moment(one.expires)}` : ''}` : `service account, ${one.role}`,
        one.projects ? `, projects ${one.projects.join(', ')}` : ', all projects'))),
        data.access.length === 0 && h('p', { class: 'soft' }, 'The configuration names nobody; this stands for whoever works here.'),
        h('button', { onclick: save }, 'Download all of it')),
      h('section', { class: 'card' }, h('h2', {}, 'The portal’s usage log'),
        h('label', { class: 'check' }, record, 'Do not record my use'),
        h('p', { class: 'soft' }, data.record_usage ? 'Which parts of this portal you open and what you enter is recorded, sealed, for a year.' : 'Nothing that you do here is recorded.'),
        h('button', { class: 'danger', onclick: erase, disabled: data.usage.length === 0 }, 'Erase what was recorded'))),
    h('h2', {}, 'Your tasks'),
    data.tasks.length
      ? table(`${data.tasks.length} tasks`, [
        { title: 'Asked for', class: 'time', cell: (task) => moment(task.requested_at) },
        { title: 'What', cell: (task) => task.kind },
        { title: 'State', cell: (task) => task.status.toLowerCase() },
        { title: 'Ids', class: 'number', cell: (task) => task.distinct_id_count },
      ], data.tasks)
      : empty('You have asked for nothing yet', h('p', {}, 'Requests that you enter under End users are listed here.')),
    h('h2', {}, 'What was recorded'),
    data.usage.length
      ? table(`${data.usage.length} entries, the newest first`, [
        { title: 'At', class: 'time', cell: (one) => moment(one.at) },
        { title: 'What', cell: (one) => one.action },
      ], data.usage.reverse())
      : empty('Nothing is recorded', h('p', {}, 'Entries appear as you use the portal, unless you object above.')));
}
