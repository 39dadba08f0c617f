// A WebKit, driven by the W3C's WebDriver protocol: WebKitGTK's `WebKitWebDriver` and its little browser.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const freePort = async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
};

/** A browser that has never been anywhere, until the test ends. Gives out what opens a tab. */
export const startWebKit = async (t) => {
  const port = await freePort();
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], { stdio: 'ignore' });
  const ended = once(driver, 'exit');
  let session;
  t.after(async () => {
    if (session) await ask('DELETE', session);
    driver.kill();
    await ended;
  });

  const ask = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw Error(value.message || value.error);
    return value;
  };
  /** The driver takes a moment to listen; if it has ended, there will be none. */
  const first = async (...request) => {
    for (;;) {
      try {
        return await ask(...request);
      } catch (error) {
        if (driver.exitCode !== null || !(error instanceof TypeError)) throw error;
        await pause(20);
      }
    }
  };
  const { sessionId } = await first('POST', '/session', { capabilities: {} });
  session = '/session/' + sessionId;
  await ask('POST', session + '/timeouts', { script: 30_000, pageLoad: 30_000 });

  let [unused] = await ask('GET', session + '/window/handles');
  return async () => {
    const handle = unused ?? (await ask('POST', session + '/window/new', { type: 'tab' })).handle;
    unused = undefined;
    const here = async (method, path, body) => {
      await ask('POST', session + '/window', { handle });
      return ask(method, session + path, body);
    };
    const tab = {
      goto: (url) => here('POST', '/url', { url }),
      reload: () => here('POST', '/refresh', {}),
      close: () => here('DELETE', '/window'),
      /** What a function gives out in the page, as JSON has it. */
      evaluate: async (work, argument = null) => {
        const script = `const done = arguments[1];
          (async () => (${work})(arguments[0]))().then((value) => done({ value }), (error) => done({ error: '' + error }));`;
        const { value, error } = await here('POST', '/execute/async', { script, args: [argument] });
        if (error !== undefined) throw Error(error);
        return value;
      },
      /** Until a function in the page says so. */
      waitForFunction: async (work, argument) => {
        for (let tries = 0; tries < 600; tries++) {
          if (await tab.evaluate(work, argument)) return;
          await pause(30);
        }
        throw Error(`it never came to this: ${work}`);
      },
      /** Does something that leaves the page, in one task, and ends in the next page. */
      leave: async (work) => {
        await tab.evaluate(() => void (window.stays = true));
        await here('POST', '/execute/sync', { script: `setTimeout(${work})`, args: [] });
        await tab.waitForFunction(() => !window.stays && document.readyState === 'complete');
      },
    };
    return tab;
  };
};
