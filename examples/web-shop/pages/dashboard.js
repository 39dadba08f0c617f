// Shows what the collector holds, and does what a person or a data protection officer would do.
const TOKEN = 'demo-shop';
const PEOPLE = ['ada', 'ben', 'chloe'];
const DEEDS = [
  ['opt-out', 'Opt out', (it) => it.consent],
  ['opt-in', 'Opt in', (it) => it.consent],
  ['erase', 'Erase', (it) => `the request to erase is ${it.state}`],
];

const at = (id) => document.getElementById(id);
const element = (name, ...children) => {
  const made = document.createElement(name);
  made.append(...children);
  return made;
};

const get = async (path) => (await fetch(path)).json();

async function ask(who, path, tell) {
  const answer = await fetch(path, { method: 'POST' });
  const said = await answer.json();
  at('said').textContent = `${who}: ${answer.ok ? tell(said) : said.error}`;
  await look();
}

const counts = new Map();
for (const name of PEOPLE) {
  const count = element('td', '…');
  counts.set(name, count);
  const buttons = DEEDS.map(([deed, label, tell]) => {
    const button = element('button', label);
    button.onclick = () => ask(name, `/demo/${name}/${deed}`, tell);
    return button;
  });
  at('people').append(element('tr', element('td', name), count, element('td', ...buttons)));
}
at('five-years').onclick = () => ask('the clock', '/demo/five-years', (it) => `it is ${it.now}; what is older than 1825 days is gone`);

/** Properties that the demo itself gave; the rest is what every client adds. */
const own = (properties) =>
  Object.entries(properties)
    .filter(([name]) => !/^(\$|mp_|time$|token$|distinct_id$)/.test(name))
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

const who = ({ distinct_id: id }) => (id.startsWith('$device:') ? `device ${id.slice(8, 16)}…` : id);

async function look() {
  const [held, clock] = await Promise.all([get(`/mock/events?project=${TOKEN}&limit=100000`), get('/mock/clock')]);
  at('now').textContent = clock.now.slice(0, 10);
  at('total').textContent = held.total;
  for (const [name, count] of counts) {
    count.textContent = held.events.filter((it) => it.distinct_id === name).length;
  }
  const rows = held.events.slice(-100).reverse().map((it) =>
    element(
      'tr',
      element('td', it.received_at.replace('T', ' ').slice(0, 19)),
      element('td', it.event),
      element('td', who(it)),
      element('td', own(it.properties)),
    ),
  );
  at('events').replaceChildren(...rows);
}

for (;;) {
  await look().catch((error) => (at('said').textContent = `the collector does not answer (${error.message})`));
  await new Promise((later) => setTimeout(later, 1000));
}
