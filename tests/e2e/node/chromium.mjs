// A real, headless Chromium: the system's, with a profile of its own that is thrown away.
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { chromium } from 'playwright-core'

import { FLAGS } from './chromium-flags.mjs'

/** Opens a browser for a test, and closes it with the test. `CHROMIUM` names the program. */
export async function openBrowser(test) {
  const executablePath = process.env.CHROMIUM || '/usr/bin/chromium'
  if (!existsSync(executablePath)) {
    throw new Error(`${executablePath} is not there: install Chromium, or name it in CHROMIUM`)
  }
  const profile = await mkdtemp(join(tmpdir(), 'refrain-chromium-'))
  const browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS })
  test.after(async () => {
    await browser.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  })
  return browser
}
