// Requests to the collector.

/** How a request ended: HTTP status (0 no answer, 1 none in time), `Retry-After`, beginning of the body. */
export type Answer = [status: number, retryAfter: string | undefined, body: string];

/** No answer in this time is none, in milliseconds. */
const PATIENCE = 30_000;
/** Browsers let 64 KiB outlive a page, of all requests together: so much for the last one, … */
const LAST = 50 << 10;
/** … and so much for one that was under way. */
const OTHER = 12 << 10;
const FORM = 'application/x-www-form-urlencoded';

export const openRequests = (endpoint: string) => {
  const base = endpoint.replace(/\/+$/, '');
  /** Whether requests have to do without a preflight, since one has failed. */
  let simple = false;

  /** Starts a request before it returns. */
  return async (path: string, json: string, leaving: boolean, cancel: AbortController): Promise<Answer> => {
    const form = (simple || leaving) && !path.startsWith('/refrain');
    let body = form ? 'data=' + encodeURIComponent(json) : json;
    if (leaving && body.length > LAST) {
      // What a reader of forms would take for something else is escaped, and nothing more.
      body = 'data=' + json.replace(/[%&+]/g, encodeURIComponent);
    }
    const type = form ? FORM : 'application/json';
    let late = 0;
    const timer = setTimeout(() => {
      late = 1;
      cancel.abort();
    }, PATIENCE);
    try {
      if (leaving && !('keepalive' in Request.prototype)) {
        navigator.sendBeacon(base + path, new Blob([body], { type }));
        return [0, undefined, ''];
      }
      const response = await fetch(base + path, {
        // A request without a body asks how far an erasure has come.
        ...(body && { method: 'POST', body, headers: { 'Content-Type': type } }),
        credentials: 'omit',
        // What was meant for the collector must not be posted to wherever it points.
        redirect: 'manual',
        keepalive: leaving || body.length < OTHER,
        signal: cancel.signal,
      });
      const retryAfter = response.headers.get('Retry-After') ?? undefined;
      return [response.status, retryAfter, (await response.text()).slice(0, 65_536)];
    } catch {
      // Browsers do not tell a preflight that failed from a network that did: take turns.
      if (!cancel.signal.aborted && navigator.onLine) simple = !simple;
      return [late, undefined, ''];
    } finally {
      clearTimeout(timer);
    }
  };
};
