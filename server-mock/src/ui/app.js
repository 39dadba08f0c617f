// Which page is shown, and what all pages share: navigation, the clock, the stream of what changes.

import { follow, get, remember } from './api.js';
import { field, h, moment, say } from './dom.js';
import { clock } from './pages/clock.js';
import { events } from './pages/events.js';
import { faults } from './pages/faults.js';
import { people } from './pages/people.js';
import { privacy } from './pages/privacy.js';
import { rejected } from './pages/rejected.js';
import { requests } from './pages/requests.js';

const PAGES = { events, people, rejected, requests, faults, clock, privacy };

const main = document.getElementById('main');
let shown = 0;
let told = () => {};

/** Address of a page: `#/name/part?parameters`. */
function place() {
  const [path, parameters] = location.hash.replace(/^#\//, '').split('?');
  const [name, part] = path.split('/');
  return { name: Object.hasOwn(PAGES, name) ? name : 'events', part: part ?? '', parameters: new URLSearchParams(parameters) };
}

/**
 * Shows the page of the address. A page is `async (context)`: it answers an element, and may set `context.changed`, an
 * async function that is called when something changed: once the page is shown, one call at a time, and once more for
 * all that came meanwhile. `isFirst` is false where a page shows itself anew.
 */
async function show({ isFirst = true, focus = isFirst } = {}) {
  const { name, part, parameters } = place();
  const number = ++shown;
  const context = {
    part,
    parameters,
    changed: null,
    isFirst,
    isShown: () => number === shown,
    again: () => number === shown && show({ isFirst: false }),
  };
  let isBusy = true;
  let isStale = false;
  const catchUp = async () => {
    isBusy = true;
    try {
      while (isStale && number === shown) {
        isStale = false;
        await context.changed?.();
      }
    } finally {
      isBusy = false;
    }
  };
  told = () => {
    isStale = true;
    if (!isBusy) catchUp();
  };
  for (const link of document.querySelectorAll('header nav a')) {
    if (link.hash === `#/${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  let content;
  try {
    content = await PAGES[name](context);
  } catch (error) {
    content = error.status === 401 ? asking(error) : failed(error);
  }
  if (number !== shown) return;
  main.replaceChildren(content);
  document.title = `${content.querySelector('h1')?.textContent ?? name} · refrain-mock`;
  if (focus) main.focus({ preventScroll: true });
  catchUp();
}

function failed(error) {
  return h('div', { class: 'empty' }, h('h1', {}, 'That did not work'), h('p', {}, error.message), error.hint && h('p', {}, error.hint),
    h('button', { onclick: () => show() }, 'Try again'));
}

/** The server wants to see the control token. */
function asking(error) {
  const input = h('input', { type: 'password', name: 'token', autocomplete: 'off', required: true });
  const button = h('button', { class: 'main' }, 'Go on');
  const submit = (event) => {
    event.preventDefault();
    remember(input.value);
    // This form goes with the answer; what was typed into it until then would be lost.
    input.disabled = button.disabled = true;
    start();
    main.focus();
  };
  return h('form', { class: 'card', onsubmit: submit }, h('h1', {}, 'The control token, please'),
    h('p', { class: 'lead' }, `${error.message}. The server was started with --control-token; this tab remembers it until it is closed.`),
    h('div', { class: 'row' }, field('Control token', input), button));
}

/** The clock in the header. It runs by itself between two looks at the server's. */
async function tick() {
  const now = document.getElementById('now');
  try {
    const seen = await get('/clock');
    now.textContent = `${moment(seen.now).slice(0, 19)} UTC${seen.frozen ? ', stopped' : ''}`;
  } catch {
    now.textContent = '';
  }
}

let streaming = new AbortController();

function start() {
  streaming.abort();
  streaming = new AbortController();
  follow(() => told(), streaming.signal);
  tick();
  // Who loads the page begins at its top.
  show({ focus: false });
}

window.addEventListener('hashchange', () => show());
window.addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  say(event.reason?.hint ? `${event.reason.message}: ${event.reason.hint}` : (event.reason?.message ?? 'That did not work'));
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(tick, 1000);
start();
