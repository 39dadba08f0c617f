// The published client for Node, unchanged but for the host, against the real mock server.
// By itself: `npm ci`, `cargo build -p refrain-mock`, `node --test node_client.test.mjs`.
import assert from 'node:assert/strict'
import test from 'node:test'
import { promisify } from 'node:util'

import Mixpanel from 'mixpanel'

import { startServer } from './mock-server.mjs'

const TOKEN = 'node-project'

async function start(test) {
  const server = await startServer(test)
  const client = Mixpanel.init(TOKEN, { protocol: 'http', host: server.host, keepAlive: false })
  return {
    server,
    track: promisify(client.track.bind(client)),
    trackBatch: promisify(client.track_batch.bind(client)),
    setProfile: promisify(client.people.set.bind(client.people)),
    deleteProfile: promisify(client.people.delete_user.bind(client.people)),
  }
}

test('events arrive as they were recorded', async (t) => {
  const { server, track } = await start(t)
  await track('Signed up', { distinct_id: 'node-user', plan: 'Größe L', price: 12.5, ok: true, tags: ['a', 'b'] })
  await track('Bought', { distinct_id: 'other-user' })

  const [event] = await server.wait({ project: TOKEN, event: 'Signed up' })
  const { plan, price, ok, tags, mp_lib, distinct_id } = event.properties
  assert.deepEqual(
    { plan, price, ok, tags, mp_lib, distinct_id },
    { plan: 'Größe L', price: 12.5, ok: true, tags: ['a', 'b'], mp_lib: 'node', distinct_id: 'node-user' },
  )
  assert.equal(event.project, TOKEN)
  assert.equal((await server.get('/mock/events', { project: TOKEN })).total, 2)
  assert.equal((await server.get('/mock/events', { distinct_id: 'node-user' })).total, 1)
})

test('a batch arrives whole, and an event sent twice is stored once', async (t) => {
  const { server, trackBatch } = await start(t)
  const batch = Array.from({ length: 120 }, (_, number) => ({
    event: 'Step',
    properties: { distinct_id: 'node-user', number, $insert_id: `step-${number}`, time: Math.floor(Date.now() / 1000) },
  }))
  await trackBatch(batch)
  const events = await server.wait({ event: 'Step', min: 120 })
  assert.deepEqual(events.map((event) => event.properties.number).sort((a, b) => a - b), [...batch.keys()])

  await trackBatch(batch.slice(0, 5))
  assert.equal((await server.get('/mock/events', { event: 'Step' })).total, 120)
  assert.equal((await server.get('/mock/stats')).duplicates, 5)
})

test('profiles are set and deleted', async (t) => {
  const { server, setProfile, deleteProfile } = await start(t)
  await setProfile('node-user', { $name: 'Ada', plan: 'free' })
  await setProfile('node-user', { plan: 'paid' })
  await setProfile('other-user', { plan: 'free' })

  const found = await server.get('/mock/profiles', { project: TOKEN, distinct_id: 'node-user' })
  assert.equal(found.profiles.length, 1)
  const { $name, plan } = found.profiles[0].properties
  assert.deepEqual({ $name, plan }, { $name: 'Ada', plan: 'paid' })

  await deleteProfile('node-user')
  const left = await server.get('/mock/profiles', { project: TOKEN })
  assert.deepEqual(left.profiles.map((profile) => profile.distinct_id), ['other-user'])
})
