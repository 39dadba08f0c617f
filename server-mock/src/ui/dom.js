// Building the page. Text is only ever text: nothing that was collected becomes an element.

/** An element with attributes, listeners (`onclick`) and children; text, nothing and lists are children too. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'value') element.value = value;
    else if (key === 'checked' || key === 'disabled') element[key] = true;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A table; columns are `{ title, class, cell(row) }`. `attributes(row)` are those of its line. */
export function table(caption, columns, rows, attributes = () => ({})) {
  const head = columns.map(({ title, class: kind }) => h('th', { scope: 'col', class: kind }, title));
  const line = (row) => h('tr', attributes(row), columns.map(({ class: kind, cell }) => h('td', { class: kind }, cell(row))));
  return h('div', { class: 'scroll' }, h('table', {}, h('caption', {}, caption), h('thead', {}, h('tr', {}, head)), h('tbody', {}, rows.map(line))));
}

/** What a newcomer sees where there is nothing yet. */
export function empty(title, ...help) {
  return h('div', { class: 'empty' }, h('h2', {}, title), help);
}

/** A label around a control. */
export function field(text, control) {
  return h('label', {}, text, control);
}

/** A choice; options are texts, or pairs of value and text. */
export function select(name, options, value, change) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const element = h('select', { name, onchange: change }, pairs.map(([key, text]) => h('option', { value: key }, text)));
  element.value = value ?? '';
  return element;
}

/** A figure with what it counts. */
export function figures(pairs) {
  return h('ul', { class: 'figures' }, pairs.map(([text, count]) => h('li', {}, h('b', {}, Number(count).toLocaleString('en')), h('span', {}, text))));
}

/** Says something to everybody, eyes or not. */
export function say(text) {
  const place = document.getElementById('said');
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (place.textContent = ''), 6000);
}

/** Asks before something that cannot easily be undone, with a list of what it is done to; resolves to whether it was agreed to. */
export function agreed(title, text, verb, list = []) {
  return new Promise((resolve) => {
    const close = (answer) => () => dialog.close(answer);
    const dialog = h('dialog', { 'aria-labelledby': 'asked' },
      h('h2', { id: 'asked' }, title),
      h('p', {}, text),
      list.length > 0 && h('ul', { class: 'ids' }, list.map((one) => h('li', {}, h('code', {}, one)))),
      h('div', { class: 'row' },
        h('button', { class: 'main', onclick: close('yes') }, verb),
        h('button', { onclick: close('no'), autofocus: true }, 'Cancel')));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** `1 rule`, `2 rules`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** `2026-09-01 00:00:00`, in UTC. */
export function moment(iso) {
  return iso ? iso.replace('T', ' ').replace(/(\.\d+)?Z$/, '') : '';
}

/** A value as JSON in one line, cut. */
export function short(value, length = 80) {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/** Properties in one line, those that a person chose first. */
export function summary(properties, length = 110) {
  const own = Object.entries(properties).filter(([name]) => !['time', 'distinct_id', '$insert_id', '$device_id', '$user_id'].includes(name));
  own.sort(([a], [b]) => Number(/^(\$|mp_)/.test(a)) - Number(/^(\$|mp_)/.test(b)));
  return short(own.map(([name, value]) => `${name} ${short(value, 40)}`).join(' · '), length);
}
