// A shop that asks before it counts. Until there is an answer, what happens waits in memory only.
import { init } from '/refrain/index.js';

const GOODS = { umbrella: 12.5, teapot: 24, lamp: 39.9, blanket: 18 };

const at = (id) => document.getElementById(id);
const refrain = init('demo-shop', { endpoint: location.origin, defaultConsent: 'pending', flushInterval: 500 });

refrain.track('Opened the shop');

for (const [item, price] of Object.entries(GOODS)) {
  const buy = document.createElement('button');
  buy.textContent = `Buy the ${item}`;
  buy.onclick = () => refrain.track('Bought in the shop', { item, price });
  const card = document.createElement('li');
  card.append(`${item}, ${price.toFixed(2)} `, buy);
  at('goods').append(card);
}

function show() {
  const { decision, sentence } = refrain.consent();
  document.body.dataset.consent = decision;
  at('sentence').textContent = sentence;
  at('banner').hidden = decision !== 'unset';
  at('stop').hidden = decision !== 'granted';
  at('start').hidden = decision !== 'denied';
}

const agree = () => refrain.optIn().finally(show);
const refuse = () => refrain.optOut().finally(show);
at('yes').onclick = at('start').onclick = agree;
at('no').onclick = at('stop').onclick = refuse;

// For whoever looks in from the console.
window.shop = refrain;

await refrain.ready;
show();
document.body.dataset.ready = 'true';
