// The control API, as the pages use it.

const KEY = 'refrain-mock-control-token';

/** An answer that is an error: `message`, `status`, `hint`. */
export class ApiError extends Error {
  constructor(status, document) {
    super(document?.error?.error ?? document?.error ?? `the server answered ${status}`);
    this.status = status;
    this.hint = document?.hint;
  }
}

function headers() {
  const token = sessionStorage.getItem(KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Remembers the control token for this tab. */
export function remember(token) {
  sessionStorage.setItem(KEY, token);
}

async function call(method, path, body) {
  const init = { method, headers: headers(), cache: 'no-store' };
  if (body !== undefined) init.body = JSON.stringify(body);
  const answer = await fetch(`/mock${path}`, init);
  const text = await answer.text();
  const document = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new ApiError(answer.status, document);
  return document;
}

/** Path with the parameters that are not empty. */
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value !== undefined && value !== null);
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

export const get = (path, parameters = {}) => call('GET', query(path, parameters));
export const put = (path, body = {}) => call('PUT', path, body);
export const post = (path, body = {}) => call('POST', path, body);
export const remove = (path, body) => call('DELETE', path, body);

/** A file, saved by the browser under a name. */
export async function download(path, name) {
  const answer = await fetch(`/mock${path}`, { headers: headers() });
  if (!answer.ok) throw new ApiError(answer.status, await answer.json());
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Follows the stream until the signal aborts: `told()` when something changed. Connects again by itself. */
export async function follow(told, signal) {
  while (!signal.aborted) {
    try {
      const answer = await fetch('/mock/stream', { headers: headers(), signal });
      if (!answer.ok) return;
      let line = '';
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        const lines = (line + piece).split('\n');
        line = lines.pop();
        if (lines.some((text) => text.startsWith('event:'))) told();
      }
    } catch {
      // The server is away, or the page goes; the one below waits for the former.
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
