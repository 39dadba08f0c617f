// The real mock server, started on a free port.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** `REFRAIN_MOCK_BIN` names the program; without it, the one that `cargo build -p refrain-mock` makes. */
function program() {
  const suffix = process.platform === 'win32' ? '.exe' : ''
  const built = fileURLToPath(new URL(`../../../target/debug/refrain-mock${suffix}`, import.meta.url))
  const chosen = process.env.REFRAIN_MOCK_BIN || built
  if (!existsSync(chosen)) throw new Error(`${chosen} is not there: run \`cargo build -p refrain-mock\` first`)
  return chosen
}

/** Starts a server for a test, with further arguments, and ends it with the test. */
export async function startServer(test, further = []) {
  const child = spawn(program(), ['serve', '--listen', '127.0.0.1:0', '--store', 'memory', ...further], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  test.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
  })
  const lines = createInterface({ input: child.stdout })
  const line = await Promise.race([
    once(lines, 'line').then(([text]) => text),
    once(child, 'exit').then(([code]) => `exit code ${code}`),
  ])
  const ready = /^refrain-mock ready (http:\/\/\S+?)\/?$/.exec(line)
  if (!ready) throw new Error(`the server did not say that it is ready, but ${JSON.stringify(line)}`)
  return new MockServer(ready[1])
}

class MockServer {
  constructor(url) {
    this.url = url
    this.host = new URL(url).host
  }

  /** A list of the control API. */
  get(path, query = {}) {
    return this.#call(`${path}?${new URLSearchParams(query)}`)
  }

  /** Changes something of the control API. */
  put(path, document) {
    return this.#call(path, { method: 'PUT', body: JSON.stringify(document) })
  }

  /** Sends a document to any route. */
  post(path, document) {
    return this.#call(path, { method: 'POST', body: JSON.stringify(document) })
  }

  /** The events that were asked for, as soon as they are there; an error when they do not come. */
  async wait(wanted) {
    const body = JSON.stringify({ timeout_ms: 20_000, ...wanted })
    return (await this.#call('/mock/wait', { method: 'POST', body })).events
  }

  /** Sends any request; what it was answered. */
  ask(method, path, document) {
    return this.#call(path, { method, body: document === undefined ? undefined : JSON.stringify(document) })
  }

  async #call(path, init) {
    const answer = await fetch(this.url + path, init)
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${text}`)
    return JSON.parse(text)
  }
}
