// A collector that answers as the real one does, on a port of its own, and remembers what arrived in its order.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';

const DEADLINE = 20_000;

export const startCollector = async () => {
  /** Everything that arrived: `{ seq, method, path, type, encoding, events, updates }`. */
  const requests = [];
  /** What to answer instead, one after the other: `(request, response) => void`. */
  const answers = [];
  const watchers = new Set();

  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const whole = Buffer.concat(chunks);
    const encoding = request.headers['content-encoding'] ?? '';
    const text = (encoding === 'gzip' ? gunzipSync(whole) : whole).toString();
    const type = request.headers['content-type'] ?? '';
    const path = request.url.split('?')[0];
    const json = type.startsWith('application/x-www-form-urlencoded') ? new URLSearchParams(text).get('data') : text;
    const records = /^\/(track|engage|groups)\/$/.test(path) && request.method === 'POST' ? JSON.parse(json) : [];
    const [events, updates] = path === '/track/' ? [records, []] : [[], records];
    const seen = { seq: requests.length, method: request.method, path, url: request.url, type, encoding, events, updates, text };
    requests.push(seen);

    const answer = request.method === 'POST' && path === '/track/' ? answers.shift() : undefined;
    response.setHeader('Access-Control-Allow-Origin', request.headers.origin ?? '*');
    response.setHeader('Access-Control-Allow-Headers', 'Content-Type, Content-Encoding');
    response.setHeader('Access-Control-Expose-Headers', 'Retry-After');
    if (answer) answer(request, response);
    else if (request.method === 'OPTIONS') response.writeHead(204).end();
    else if (path.startsWith('/refrain/v1/erasures')) {
      const [state, receipt] = request.method === 'POST' ? ['accepted'] : ['completed', { events: 1 }];
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ id: 'e1', state, receipt }));
    } else response.setHeader('Content-Type', 'application/json').end('{"error":null,"status":1}');
    watchers.forEach((look) => look());
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  /** The ports of those who have connected. */
  const peers = [];
  server.on('connection', (socket) => peers.push(socket.remotePort));

  const collector = {
    url: `http://127.0.0.1:${port}`,
    requests,
    answers,
    /** Events in the order of their arrival, repeated ones included. */
    events: () => requests.flatMap(({ seq, events }) => events.map((event) => ({ ...event, seq }))),
    updates: () => requests.flatMap(({ updates }) => updates),
    named: (name) => collector.events().filter((event) => event.event === name),
    tracks: () => requests.filter(({ method, path }) => method === 'POST' && path === '/track/'),
    /** Waits until something is true of what arrived, and returns it. */
    until: (what, look) =>
      new Promise((done, fail) => {
        const check = () => {
          const found = look();
          if (!found) return;
          watchers.delete(check);
          clearTimeout(late);
          done(found);
        };
        const names = () => collector.events().map((event) => event.event);
        const late = setTimeout(() => fail(new Error(`${what} did not arrive; there is: ${names()}`)), DEADLINE);
        watchers.add(check);
        check();
      }),
    arrived: (name, count = 1) =>
      collector.until(`${count} × ${name}`, () => collector.named(name).length >= count && collector.named(name)),
    /** How many connections were made until now. Where nothing may leave, nobody may even connect (C13). */
    connections: async () => {
      // They are accepted in order, so with this one all are known; it counts for nothing itself.
      const probe = connect(port, '127.0.0.1');
      await once(probe, 'connect');
      while (!peers.includes(probe.localPort)) await once(server, 'connection');
      peers.splice(peers.indexOf(probe.localPort), 1);
      probe.destroy();
      return peers.length;
    },
    stop: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
  return collector;
};
