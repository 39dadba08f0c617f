// The published browser client in a real Chromium, unchanged but for the host, against the real mock server.
// By itself: `npm ci`, `cargo build -p refrain-mock`, `node --test browser_client.test.mjs`.
import assert from 'node:assert/strict'
import test from 'node:test'

import { openBrowser } from './chromium.mjs'
import { startServer } from './mock-server.mjs'
import { serveShop } from './shop-page.mjs'

const TOKEN = 'browser-project'

async function openShop(test, options = {}) {
  const [server, shop, browser] = await Promise.all([startServer(test), serveShop(test), openBrowser(test)])
  const page = await browser.newPage()
  await page.goto(shop)
  await page.evaluate(
    ([token, config]) => window.mixpanel.init(token, config),
    [TOKEN, { api_host: server.url, ...options }],
  )
  return { server, page }
}

test('batched events and profile updates arrive', async (t) => {
  const { server, page } = await openShop(t)
  const profileAnswered = page.waitForResponse((it) => it.url().startsWith(`${server.url}/engage`))
  await page.evaluate(() => {
    const { mixpanel } = window
    mixpanel.track('Viewed', { item: 'Größe L', price: 12.5 })
    mixpanel.identify('browser-user')
    mixpanel.track('Bought', { ok: true })
    mixpanel.people.set({ $name: 'Ada', plan: 'paid' })
  })

  const [viewed] = await server.wait({ project: TOKEN, event: 'Viewed' })
  const { item, price, mp_lib } = viewed.properties
  assert.deepEqual({ item, price, mp_lib }, { item: 'Größe L', price: 12.5, mp_lib: 'web' })
  const [bought] = await server.wait({ project: TOKEN, event: 'Bought' })
  assert.equal(bought.properties.ok, true)
  assert.equal(bought.properties.distinct_id, 'browser-user')
  // Once the device has a user, what it did before belongs to that user.
  const ofUser = await server.get('/mock/events', { project: TOKEN, distinct_id: 'browser-user' })
  assert.deepEqual(ofUser.events.map((event) => event.event).sort(), ['$identify', 'Bought', 'Viewed'])

  assert.equal((await profileAnswered).status(), 200)
  const { profiles } = await server.get('/mock/profiles', { project: TOKEN, distinct_id: 'browser-user' })
  assert.equal(profiles.length, 1)
  const { $name, plan } = profiles[0].properties
  assert.deepEqual({ $name, plan }, { $name: 'Ada', plan: 'paid' })
})

for (const api_payload_format of ['base64', 'json']) {
  test(`single events arrive with the payload as ${api_payload_format}`, async (t) => {
    const { server, page } = await openShop(t, { batch_requests: false, api_payload_format })
    const answer = await page.evaluate(
      () => new Promise((resolve) => window.mixpanel.track('Alone', { text: 'ü+&=%', list: [1, 'b'] }, resolve)),
    )
    assert.equal(answer, 1)
    const [event] = await server.wait({ project: TOKEN, event: 'Alone' })
    const { text, list } = event.properties
    assert.deepEqual({ text, list }, { text: 'ü+&=%', list: [1, 'b'] })
  })
}

test('what is recorded just before the page is left arrives', async (t) => {
  const { server, page } = await openShop(t)
  await page.evaluate(() => window.mixpanel.track('Left'))
  await page.goto('about:blank')
  const events = await server.wait({ project: TOKEN, event: 'Left' })
  assert.equal(events.length, 1)
})
