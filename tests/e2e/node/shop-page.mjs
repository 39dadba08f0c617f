// A page on an origin of its own, so that what it sends to the mock server is cross-origin, as in real life.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const client = createRequire(import.meta.url).resolve('mixpanel-browser/dist/mixpanel.umd.js')
const page = '<!doctype html><meta charset="utf-8"><title>Shop</title><script src="/mixpanel.js"></script>'

/** Serves the page and the published client's own bundle; returns the page's address. */
export async function serveShop(test) {
  const server = createServer(async (request, response) => {
    if (request.url === '/mixpanel.js') {
      response.setHeader('content-type', 'text/javascript; charset=utf-8')
      response.end(await readFile(client))
    } else {
      response.setHeader('content-type', 'text/html; charset=utf-8')
      response.end(page)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}/`
}
