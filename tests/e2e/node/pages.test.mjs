// The server's own pages in a real Chromium: what each shows, by keyboard, in the dark, under the policy, under attack.
// By itself: `npm ci`, `cargo build -p refrain-mock`, `node --test pages.test.mjs`. With `REFRAIN_SHOTS=FOLDER` it leaves a
// picture of each page.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

import { openBrowser } from './chromium.mjs'
import { startServer } from './mock-server.mjs'

const SHOTS = process.env.REFRAIN_SHOTS
if (SHOTS) mkdirSync(SHOTS, { recursive: true })

const CONFIG = {
  projects: [{ token: 'shop', project_id: 1 }, { token: 'app', project_id: 2, id_merge: 'original' }],
  gdpr_oauth: [{ token: 'OWNER', user: 'owner@shop.example', expires: '2099-01-01' }],
  service_accounts: [{ username: 'ci', secret: 's', role: 'admin' }],
  settings: { keep_rejected: true },
}

// What a hostile client may send: as markup, as an attribute, as a script address, as a template.
const ATTACKS = [
  '<img src=x onerror="window.hurt=1">',
  '"><script>window.hurt=1</script>',
  "' onmouseover='window.hurt=1",
  'javascript:window.hurt=1',
  '{{constructor.constructor("window.hurt=1")()}}',
  '</textarea><svg onload=window.hurt=1>',
]

/**
 * A page that fails the test when it complains, asks somebody else, or leaves its policy. `options`: `arguments` of the
 * server, `expected` complaints (a pattern).
 */
async function open(t, options = {}) {
  const complaints = []
  let wrong
  // First of the hooks: once the server is ended, its pages rightly complain.
  t.after(() => (wrong = complaints.filter((text) => !options.expected?.test(text))))
  const server = await startServer(t, options.arguments)
  const browser = await openBrowser(t)
  const page = browser.pages()[0] ?? (await browser.newPage())
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => new URL(request.url()).host !== server.host && !/^(data|blob):/.test(request.url()) && complaints.push(`asked ${request.url()}`))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => console.error(`policy: ${violatedDirective} ${blockedURI}`))
  })
  // Last of them: a hook that fails keeps those behind it from ending the server.
  t.after(() => assert.deepEqual(wrong, []))
  const show = async (hash) => {
    // From elsewhere: a page that only changes within the document has its old heading until the new one is here.
    await page.goto('about:blank')
    await page.goto(`${server.url}/${hash}`)
    await page.locator('main h1').waitFor()
  }
  const picture = (name) => SHOTS && page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true })
  return { server, page, show, picture, complaints }
}

const event = (name, properties) => ({ event: name, properties: { token: 'shop', ...properties } })

async function fill(server) {
  await server.put('/mock/config', CONFIG)
  const names = ['Signed up', 'Opened the shop', 'Bought']
  const batch = Array.from({ length: 30 }, (_, n) => event(names[n % 3], { $device_id: `d${n % 4}`, ...(n % 2 && { $user_id: `user-${n % 4}` }), price: n, $insert_id: `i${n}` }))
  await server.post('/track', batch)
  await server.post('/track', [event('A', { time: 'yesterday', distinct_id: 'user-1' }), event('', {})])
  await server.post('/engage', [{ $token: 'shop', $distinct_id: 'user-1', $set: { $email: 'ada@example.test' } }])
  await server.post('/groups', [{ $token: 'shop', $group_key: 'company', $group_id: 'acme', $set: { members: ['user-1'] } }])
}

const PAGES = ['events', 'people', 'rejected', 'requests', 'faults', 'clock', 'privacy', 'privacy/tasks', 'privacy/audit', 'privacy/retention', 'privacy/account']

test('an empty server tells the newcomer what to do', async (t) => {
  const { page, show, picture } = await open(t)
  for (const name of PAGES) {
    await show(`#/${name}`)
    assert.ok((await page.locator('main').innerText()).length > 80, name)
    await picture(`empty-${name.replace('/', '-')}`)
  }
  await show('#/events')
  const help = await page.locator('main pre').innerText()
  assert.match(help, /^curl http:\/\/127\.0\.0\.1:\d+\/track -d /)
  await show('#/privacy/tasks')
  await page.getByText('No task yet').waitFor()
})

test('events arrive as one looks, are filtered, and open', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/events')
  await page.getByText('30 of 30 events').waitFor()
  await server.post('/track', [event('Just now', { distinct_id: 'user-1', plan: 'pro' })])
  await page.getByRole('button', { name: 'Just now' }).waitFor()
  await page.getByRole('button', { name: 'Just now' }).click()
  const detail = page.getByRole('region', { name: 'One event' })
  await detail.getByRole('cell', { name: 'plan' }).waitFor()
  await picture('events')
  await detail.getByRole('button', { name: 'Close' }).click()
  await page.getByLabel('Event', { exact: true }).fill('Bought')
  await page.keyboard.press('Enter')
  await page.getByText('10 of 10 events').waitFor()
  assert.match(page.url(), /event=Bought/)
  await page.getByLabel('Person').fill('user-1')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByText(/^\d of \d events/).waitFor()
  await page.getByLabel('Insert id').fill('nowhere')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByText('Nothing fits these filters').waitFor()
  await page.getByLabel('Live').uncheck()
})

test('a person is shown with everything that is linked', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/people')
  await page.getByRole('link', { name: 'user-1' }).first().click()
  await page.getByRole('heading', { name: 'user-1' }).waitFor()
  for (const text of ['$device:d1', 'ada@example.test', 'company acme']) await page.getByText(text).first().waitFor()
  await picture('person')
  await page.getByRole('link', { name: 'All people' }).click()
  await page.getByLabel('Any id of a person').fill('$device:d1')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'user-1' }).waitFor()
})

test('what was refused and what was asked for say why', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/rejected')
  await page.getByText('event, missing').waitFor()
  await page.getByText('properties.time is invalid').waitFor()
  await page.locator('details summary').first().click()
  await page.locator('details pre').first().waitFor()
  await picture('rejected')
  await show('#/requests')
  await page.getByText('/engage').first().waitFor()
  const before = await page.locator('tbody tr').count()
  await server.post('/track', [event('Live', {})])
  await page.waitForFunction((count) => document.querySelectorAll('tbody tr').length > count, before)
  await picture('requests')
})

test('a fault is chosen, met and dropped', async (t) => {
  const { server, page, show, picture } = await open(t, { expected: /status of 400/ })
  await show('#/faults')
  await page.getByText('No faults').waitFor()
  await page.getByRole('button', { name: '413 above 10 records' }).click()
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByText('min_records').first().waitFor()
  const answer = await fetch(`${server.url}/track`, { method: 'POST', body: JSON.stringify(Array.from({ length: 11 }, () => event('A', {}))) })
  assert.equal(answer.status, 413)
  await page.locator('tbody td.number').nth(1).filter({ hasText: '1' }).waitFor()
  await picture('faults')
  await page.getByLabel('The rule as JSON').fill('{"act":{"statsu":1}}')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByRole('status').filter({ hasText: 'statsu' }).waitFor()
  await page.getByRole('button', { name: 'Drop all rules' }).click()
  await page.getByText('No faults').waitFor()
  assert.equal((await server.get('/mock/faults')).total, 0)
})

test('five years pass and one sees what goes', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/clock')
  await page.getByRole('button', { name: 'Advance five years' }).click()
  await page.getByRole('heading', { name: /What went/ }).waitFor()
  await page.getByText('retention.swept').waitFor()
  await page.getByText('events, 1825 days after receipt').waitFor()
  await page.getByText('Nothing expires').waitFor()
  await picture('clock')
  assert.equal((await server.get('/mock/events')).total, 0)
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByText('The clock stands still.').first().waitFor()
  await page.getByRole('button', { name: 'Real time' }).click()
  await page.getByText('The clock runs.').first().waitFor()
})

test('the portal serves end users: access, erasure, objection', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/privacy')
  const form = (name) => page.locator('form').filter({ has: page.getByRole('heading', { name, exact: true }) })
  await picture('privacy')
  await form('Access and portability').getByLabel('Ids').fill('user-1')
  await form('Access and portability').getByRole('button').click()
  await page.getByRole('cell', { name: 'access' }).waitFor()
  await server.put('/mock/clock', { advance: 'PT61S' })
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()])
  assert.match(file.suggestedFilename(), /^access-.*\.zip$/)

  await show('#/people/one?project=shop&distinct_id=user-1')
  await page.getByRole('link', { name: 'Erasure' }).click()
  await page.getByRole('heading', { name: 'Privacy' }).waitFor()
  assert.equal(await form('Erasure').getByLabel('Ids').inputValue(), 'user-1')
  await form('Erasure').getByRole('button').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await server.get('/mock/tasks', { kind: 'deletion' })).total, 0)
  await form('Erasure').getByRole('button').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Erase' }).click()
  await page.getByRole('progressbar').waitFor()
  await picture('tasks')
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('revoked').waitFor()

  await show('#/privacy')
  await form('Objection').getByLabel('Ids').fill('user-3\n$device:d2\n')
  await form('Objection').getByRole('button').click()
  await page.getByRole('status').filter({ hasText: 'objection holds' }).waitFor()
  assert.equal((await server.get('/mock/projects/shop/suppressed')).total, 2)
  await show('#/privacy/audit')
  for (const text of ['user_data_retrieval.downloaded', 'user_data_deletion.canceled', 'suppression.changed']) await page.getByText(text).waitFor()
  await picture('audit')
})

test('the portal acts on the ids that were meant, whatever is in them', async (t) => {
  const { server, page, show } = await open(t)
  await server.put('/mock/config', CONFIG)
  const ids = ['Doe, John', 'Doe', 'John', ' Doe ', 'Doe\nJohn']
  await server.post('/track', ids.map((id, n) => event('A', { distinct_id: id, $insert_id: `i${n}` })))
  const form = (name) => page.locator('form').filter({ has: page.getByRole('heading', { name, exact: true }) })
  const asked = async (id, link) => {
    await show(`#/people/one?${new URLSearchParams({ project: 'shop', distinct_id: id })}`)
    await page.getByRole('link', { name: link }).click()
    await page.getByRole('heading', { name: 'Privacy' }).waitFor()
  }
  const named = () => page.getByRole('dialog').getByRole('listitem').evaluateAll((all) => all.map((one) => one.textContent))
  const left = async () => (await server.get('/mock/events')).events.map((one) => one.distinct_id).sort()
  const erased = async (...gone) => {
    assert.deepEqual(await named(), gone)
    await page.getByRole('dialog').getByRole('button', { name: 'Erase' }).click()
    await page.getByRole('progressbar').waitFor()
    await server.put('/mock/clock', { advance: 'PT61S' })
  }
  await asked('Doe, John', 'Erasure')
  await form('Erasure').getByRole('button').click()
  await erased('Doe, John')
  assert.deepEqual(await left(), [' Doe ', 'Doe', 'Doe\nJohn', 'John'])

  await asked('Doe\nJohn', 'Erasure')
  assert.equal(await form('Erasure').getByLabel('Ids').isEditable(), false)
  await form('Erasure').getByRole('button').click()
  await erased('Doe\nJohn')
  assert.deepEqual(await left(), [' Doe ', 'Doe', 'John'])

  await show('#/privacy')
  await form('Erasure').getByLabel('Ids').fill(' Doe \n\nJohn')
  await form('Erasure').getByRole('button').click()
  await erased(' Doe ', 'John')
  assert.deepEqual(await left(), ['Doe'])

  await asked('Doe', 'Access')
  await form('Access and portability').getByLabel('Ids').fill('a, b\nc')
  await form('Access and portability').getByRole('button').click()
  await page.getByRole('cell', { name: 'access' }).waitFor()
  assert.equal((await server.get('/mock/tasks', { kind: 'retrieval' })).tasks[0].distinct_id_count, 2)
  await show('#/privacy?kind=objection&project=shop&distinct_id=Doe%2C+John')
  await form('Objection').getByRole('button').click()
  await page.getByRole('status').filter({ hasText: 'objection holds' }).waitFor()
  assert.equal((await server.get('/mock/projects/shop/suppressed')).total, 1)
})

test('the portal serves the account holder: own data, own tasks, no recording', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/privacy/account')
  await page.getByRole('heading', { name: 'owner@shop.example' }).waitFor()
  await page.getByText('OAuth token, until 2099-01-01').waitFor()
  await page.getByText('opened your account').waitFor()
  await page.getByLabel('Do not record my use').check()
  await page.getByText('Nothing that you do here is recorded.').waitFor()
  await page.getByRole('button', { name: 'Erase what was recorded' }).click()
  await page.getByText('Nothing is recorded').waitFor()
  await show('#/privacy/tasks')
  await show('#/privacy/account')
  await page.getByText('Nothing is recorded').waitFor()
  assert.equal(await page.getByLabel('Do not record my use').isChecked(), true)
  await page.getByLabel('Account holder').selectOption('ci')
  await page.getByText('service account, admin').waitFor()
  assert.equal(await page.getByLabel('Do not record my use').isChecked(), false, 'the choice is the account’s own')
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download all of it' }).click()])
  assert.equal(file.suggestedFilename(), 'account.json')
  await picture('account')
  await show('#/privacy/audit')
  await page.getByText('usage_recording.changed').waitFor()
})

test('retention is set, projects are reset, deleted and restored', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  await show('#/privacy/retention')
  await page.getByLabel('Events, days').fill('30')
  await page.getByRole('button', { name: 'Put in force' }).click()
  await page.getByText('30 days after receipt').first().waitFor()
  assert.equal((await server.get('/mock/config')).settings.retention_events_days, 30)
  const card = page.locator('section').filter({ has: page.getByRole('heading', { name: /^shop/ }) })
  await card.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await card.getByText('deleted', { exact: true }).waitFor()
  await picture('retention')
  assert.equal((await server.get('/mock/events')).total, 0)
  await card.getByRole('button', { name: 'Restore' }).click()
  await card.getByText('live', { exact: true }).waitFor()
  assert.equal((await server.get('/mock/events')).total, 30)
})

test('everything can be reached and done by keyboard', async (t) => {
  const { server, page, show } = await open(t)
  await fill(server)
  await show('#/events')
  await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content')
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
  const press = async (key, until, most = 60) => {
    for (let n = 0; n < most; n++) {
      await page.keyboard.press(key)
      if (await page.evaluate(until)) return
    }
    assert.fail(`${key} never leads to ${until}`)
  }
  await press('Tab', "document.activeElement.closest('tbody') && document.activeElement.tagName === 'BUTTON'")
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none', 'the focus is seen')
  await page.keyboard.press('Enter')
  await page.getByRole('region', { name: 'One event' }).waitFor()
  await press('Shift+Tab', "document.activeElement.textContent === 'Clock'")
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Clock' }).waitFor()
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'a new page begins at its content')
  await press('Tab', "document.activeElement.textContent === 'Advance one day'")
  await page.keyboard.press(' ')
  await page.getByRole('heading', { name: /What went/ }).waitFor()
  await show('#/privacy/retention')
  await press('Tab', "document.activeElement.textContent === 'Delete'")
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel', 'the safe answer is at hand')
  await page.keyboard.press('Escape')
  assert.equal((await server.get('/mock/projects')).projects[0].state, 'live')
})

test('light and dark have readable contrast', async (t) => {
  const { server, page, show, picture } = await open(t)
  await fill(server)
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme })
    for (const name of ['events', 'faults', 'privacy', 'privacy/retention']) {
      await show(`#/${name}`)
      const poor = await page.evaluate(contrasts)
      assert.deepEqual(poor, [], `${scheme} ${name}`)
      await picture(`${scheme}-${name.replace('/', '-')}`)
    }
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const [red] = ground.match(/\d+/g).map(Number)
    assert.ok(scheme === 'dark' ? red < 60 : red > 200, `${scheme}: ${ground}`)
  }
})

/** Texts whose contrast with what is behind them is below 4.5 (WCAG 2, AA). */
function contrasts() {
  const channels = (text) => (text.match(/[\d.]+/g) ?? []).map(Number)
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor)
      if (a > 0.99) return [r, g, b]
    }
    return [255, 255, 255]
  }
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const poor = []
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent.trim()).join('')
    if (!text || element.closest('[disabled], .skip') || !element.getClientRects().length) continue
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (ratio < 4.5) poor.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`)
  }
  return poor
}

test('nothing that was collected runs in the pages', async (t) => {
  const { server, page, show } = await open(t)
  await server.put('/mock/config', CONFIG)
  for (const text of ATTACKS) {
    await server.post('/track', [event(text, { distinct_id: text, [text]: text, list: [text], deep: { [text]: text }, $insert_id: text })])
    await server.post('/engage', [{ $token: 'shop', $distinct_id: text, $set: { [text]: text } }])
    await server.post('/groups', [{ $token: 'shop', $group_key: text, $group_id: text, $set: { members: [text] } }])
    await server.post('/track', [event(text, { time: text, distinct_id: `other ${text}` })])
    await server.put('/mock/projects/shop/suppressed', { distinct_ids: [`nobody ${text}`] })
  }
  await server.post('/mock/faults', ATTACKS.map((text) => ({ match: { path: text }, act: { status: 500, body: text } })))
  await server.post('/mock/portal/requests', { kind: 'access', project: 'shop', distinct_ids: ATTACKS, account: ATTACKS[0] })
  for (const name of PAGES) {
    await show(`#/${name}`)
    assert.equal(await page.evaluate(() => window.hurt), undefined, name)
  }
  await show('#/events')
  for (const text of ATTACKS) {
    await page.getByRole('button', { name: text, exact: true }).first().click()
    const region = page.getByRole('region', { name: 'One event' })
    await region.getByRole('heading', { name: text, exact: true }).waitFor()
    await show(`#/people/one?${new URLSearchParams({ project: 'shop', distinct_id: text })}`)
    await page.getByRole('heading', { name: text, exact: true }).waitFor()
    await show('#/events')
  }
  for (const hash of [`#/${ATTACKS[0]}`, '#/constructor', '#/privacy/constructor', `#/events?event=${encodeURIComponent(ATTACKS[1])}`, `#/privacy?kind=erasure&distinct_id=${encodeURIComponent(ATTACKS[2])}`]) {
    await show(hash)
    assert.equal(await page.evaluate(() => window.hurt), undefined, hash)
  }
  assert.equal(await page.evaluate(() => document.querySelectorAll('main img, main script, main svg, main iframe').length), 0)
})

test('the policy is strict, and what breaks it is blocked', async (t) => {
  const { server, page, show, complaints } = await open(t, { expected: /policy|Policy|Trusted|127\.0\.0\.2/ })
  const answer = await fetch(`${server.url}/`)
  const policy = answer.headers.get('content-security-policy')
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
    assert.ok(policy.includes(part), part)
  }
  assert.ok(!policy.includes('unsafe'))
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  await show('#/events')
  // What this test does on purpose is no complaint about the pages.
  const blocked = await page.evaluate(async () => {
    const attempts = {
      markup: () => (document.body.innerHTML += '<b>x</b>'),
      script: () => (document.createElement('script').textContent = 'window.hurt = 1'),
      evaluation: () => eval('window.hurt = 1'),
      attribute: () => document.body.setAttribute('onclick', 'window.hurt = 1'),
      elsewhere: () => fetch('http://127.0.0.2:9/'),
    }
    const outcome = {}
    // What the debugger evaluates may evaluate; what runs later may not.
    await new Promise((resolve) => setTimeout(resolve, 0))
    for (const [name, attempt] of Object.entries(attempts)) {
      try {
        await attempt()
        outcome[name] = 'allowed'
      } catch (error) {
        outcome[name] = error.name
      }
    }
    document.body.click()
    return { ...outcome, hurt: window.hurt }
  })
  const { attribute, ...thrown } = blocked
  assert.deepEqual(thrown, { markup: 'TypeError', script: 'TypeError', evaluation: 'EvalError', elsewhere: 'TypeError', hurt: undefined })
  assert.ok(complaints.length > 0, 'the browser reports what it blocks')
})

test('a control token is asked for once and kept for the tab', async (t) => {
  const { page, server } = await open(t, { arguments: ['--control-token', 'key'], expected: /status of 401/ })
  await page.goto(`${server.url}/`)
  await page.getByLabel('Control token').fill('wrong')
  let answer
  const held = new Promise((resolve) => (answer = resolve))
  await page.route('**/mock/**', async (route) => {
    await held
    await route.fallback()
  })
  await page.getByRole('button', { name: 'Go on' }).click()
  // What one would type while the answer is out would go with the form.
  assert.equal(await page.getByLabel('Control token').isDisabled(), true)
  answer()
  await page.getByLabel('Control token').fill('key')
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.getByText('Nothing has arrived yet').waitFor()
  await fetch(`${server.url}/track`, { method: 'POST', body: JSON.stringify(event('Guarded', {})) })
  await page.getByRole('button', { name: 'Guarded' }).waitFor()
  await page.reload()
  await page.getByRole('button', { name: 'Guarded' }).waitFor()
})
