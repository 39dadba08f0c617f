// The mock collection server, with a project for the shop and somebody who may erase.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const TOKEN = 'demo-shop';
const OWNER = 'demo-owner';

const CONFIG = {
  projects: [{ token: TOKEN, project_id: 1 }],
  gdpr_oauth: [{ token: OWNER, user: 'owner@shop.test', projects: [1] }],
  settings: { gdpr_rate_limit_per_s: 'off' },
};

/** Starts the server on a free port; its data goes to the folder `collector` below `folder`. */
export async function startCollector(program, folder) {
  const config = join(folder, 'collector.json');
  const store = join(folder, 'collector');
  await writeFile(config, JSON.stringify(CONFIG));
  const child = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--store', store, '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // However the demo ends, nobody else would end it.
  process.once('exit', () => child.kill());
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => text),
    once(child, 'exit').then(([code]) => `exit code ${code}`),
  ]);
  const ready = /^refrain-mock ready (http:\/\/\S+?)\/?$/.exec(line);
  if (!ready) throw new Error(`the mock server did not say that it is ready, but ${JSON.stringify(line)}`);
  return new Collector(child, ready[1], store);
}

class Collector {
  #child;

  constructor(child, url, folder) {
    this.#child = child;
    this.url = url;
    /** Where its data is. */
    this.folder = folder;
  }

  /** The events that are visible now. */
  events(filter = {}) {
    return this.#call('GET', `/mock/events?${new URLSearchParams({ project: TOKEN, limit: 1000, ...filter })}`);
  }

  /** The requests that have arrived. */
  requests() {
    return this.#call('GET', '/mock/requests');
  }

  /** Answers when so many events are there; fails if they do not come. */
  wait(wanted) {
    return this.#call('POST', '/mock/wait', { project: TOKEN, timeout_ms: 20_000, ...wanted });
  }

  /** Moves the clock; what falls due until then is done before the answer. */
  advance(duration) {
    return this.#call('PUT', '/mock/clock', { advance: duration });
  }

  /** Erases a person by the GDPR API, and lets the time pass in which it could be cancelled. Returns the state. */
  async erase(id) {
    const path = '/api/app/data-deletions/v3.0/';
    const asked = await this.#call('POST', `${path}?token=${TOKEN}`, { distinct_ids: [id] });
    await this.advance('PT2M');
    const task = await this.#call('GET', `${path}${asked.results.task_id}/?token=${TOKEN}`);
    return task.results.status;
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }

  async #call(method, path, body) {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${OWNER}` };
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  }
}
