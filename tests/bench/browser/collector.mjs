// Takes what any of them sends, and knows which records have arrived.

import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';

const HEADERS = {
  'Access-Control-Allow-Credentials': 'true',
  'Access-Control-Allow-Methods': 'GET, POST',
  'Access-Control-Max-Age': '600',
  'Cross-Origin-Resource-Policy': 'cross-origin',
};

/** Starts one on a free port. */
export const startCollector = async () => {
  let arrived = new Set();
  let look = () => {};
  const take = (body) => {
    const packed = body[0] === 0x1f && body[1] === 0x8b;
    let text = (packed ? gunzipSync(body) : body).toString();
    if (text.startsWith('data=')) text = new URLSearchParams(text).get('data');
    // Some put JSON into JSON strings, or write every value as a string.
    for (const [, number] of text.matchAll(/bench_number[\\"]*:[\\"]*(\d+)/g)) arrived.add(Number(number));
    // And some put base64 into it.
    for (const [coded] of text.matchAll(/[A-Za-z0-9_+/-]{80,}/g)) {
      const inner = Buffer.from(coded, 'base64').toString();
      for (const [, number] of inner.matchAll(/bench_number":"?(\d+)/g)) arrived.add(Number(number));
    }
    look();
  };
  const server = createServer((request, response) => {
    const { origin = '*', 'access-control-request-headers': asked = '*' } = request.headers;
    response.writeHead(200, { ...HEADERS, 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Headers': asked });
    if (request.method === 'OPTIONS') return response.end();
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      take(Buffer.concat(parts));
      response.end('{"status":1,"error":null,"code":200}');
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** How many of so many records are there, as soon as all are or the time is up. */
    arrived: (count, ms) =>
      new Promise((done) => {
        const end = () => {
          clearTimeout(timer);
          look = () => {};
          done(arrived.size);
        };
        const timer = setTimeout(end, ms);
        look = () => arrived.size >= count && end();
        look();
      }),
    clear: () => (arrived = new Set()),
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};
