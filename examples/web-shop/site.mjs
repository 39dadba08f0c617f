// The demo's web site: the pages, the browser package, and the collector behind the same origin.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, request as send } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NAMES } from './people.mjs';

const PAGES = fileURLToPath(new URL('pages', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../../sdk-wasm/npm/dist', import.meta.url));

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** What the collector answers itself; everything else is the site's. */
const COLLECTOR = /^\/(mock|track|engage|groups|refrain\/v1)(\/|\?|$)/;

/** What the dashboard may do, by path. */
function deeds(collector, people) {
  return {
    '/demo/flush': () => people.tell('flush'),
    '/demo/five-years': () => collector.advance('P5Y1D'),
    ...Object.fromEntries(
      NAMES.flatMap((name) => [
        ...['visit', 'opt-in', 'opt-out'].map((deed) => [`/demo/${name}/${deed}`, () => people.tell(deed, name)]),
        [`/demo/${name}/erase`, async () => ({ state: await collector.erase(name) })],
      ]),
    ),
  };
}

/** Opens the site on a free port of this machine. */
export async function openSite(collector, people) {
  const known = deeds(collector, people);
  const server = createServer(async (request, response) => {
    try {
      // `//` is none: what stands behind it would be a host.
      if (!URL.canParse(request.url, 'http://site')) return reply(response, 400, { error: 'that is no address' });
      const { pathname } = new URL(request.url, 'http://site');
      if (COLLECTOR.test(request.url)) pass(collector.url, request, response);
      else if (request.method === 'POST') await answer(response, known[pathname]);
      else await file(response, pathname);
    } catch (error) {
      reply(response, 500, { error: error.message });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Hands a request to the collector as it is, and its answer back as it is. */
function pass(collector, request, response) {
  const { method, headers, url } = request;
  const forward = send(collector + url, { method, headers }, (answered) => {
    response.writeHead(answered.statusCode, answered.headers);
    answered.pipe(response);
  });
  forward.on('error', (error) => (response.headersSent ? response.destroy() : reply(response, 502, { error: error.message })));
  request.pipe(forward);
}

async function answer(response, deed) {
  if (deed) reply(response, 200, await deed());
  else reply(response, 404, { error: 'the demo cannot do that' });
}

async function file(response, pathname) {
  const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
  // Names without dots at the start: nothing outside the two folders can be asked for.
  const [, part, name] = /^\/(refrain\/)?((?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)+)$/.exec(path) ?? [];
  const body = name && (await readFile(join(part ? PACKAGE : PAGES, name)).catch(() => undefined));
  if (!body) return reply(response, 404, { error: 'there is no such page' });
  response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream', 'cache-control': 'no-store' });
  response.end(body);
}

function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
