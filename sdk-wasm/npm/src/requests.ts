// Requests to the collector.

/** How a request ended: HTTP status (0 no answer, 1 none in time), `Retry-After`, beginning of the body. */
export type Answer = [status: number, retryAfter: string | undefined, body: string];

/** No answer in this time is none, in milliseconds. */
const PATIENCE = 30_000;
/**
 * Browsers let 64 KiB outlive a page, of all requests together: the module gives the last ones 44, and each that was under
 * way, one of every lane, has so much. The rest is for what is escaped.
 */
const OTHER = 4 << 10;

/** It is the form of a body that is refused, not what stands in it. */
const NOT_IN_THIS_FORM = [411, 415, 501];
/**
 * `Retry-After` as the module takes it: a date becomes seconds from the answer's own, so that a clock that is wrong here
 * does not matter, or from this clock where pages are not shown that.
 */
export const inSeconds = (retryAfter: string | null, date: string | null): string | undefined => {
  if (!/[a-z]/i.test(retryAfter ?? '')) return retryAfter ?? undefined;
  const seconds = Math.ceil((Date.parse(retryAfter!) - (Date.parse(date!) || Date.now())) / 1000);
  return seconds > 0 ? '' + seconds : undefined;
};

/** Texts below it are not worth packing, in characters. */
const SMALL = 1_000;

export const openRequests = (endpoint: string, gzip: boolean, online: () => boolean) => {
  const base = endpoint.replace(/\/+$/, '');
  /** Whether requests have to do without a preflight, since one has failed. */
  let simple = false;
  const asForm = (path: string, leaving: boolean) => (simple || leaving) && !path.startsWith('/refrain');

  /** What goes out for a text in JSON: packed, where that is allowed and can be waited for. */
  const pack = async (path: string, json: string) =>
    gzip && json.length >= SMALL && !asForm(path, false) && globalThis.CompressionStream
      ? new Response(new Blob([json]).stream().pipeThrough(new CompressionStream('gzip'))).blob()
      : json;

  /** Starts a request before it returns. A text may become a form. */
  const start = async (path: string, what: string | Blob, leaving: boolean, cancel: AbortController): Promise<Answer> => {
    let body = what;
    let type = 'application/json';
    const packed = typeof what != 'string';
    if (!packed && asForm(path, leaving)) {
      type = 'application/x-www-form-urlencoded';
      // In a last request what a reader of forms would take for something else is escaped, and nothing more.
      body = 'data=' + (leaving ? what.replace(/[%&+]/g, encodeURIComponent) : encodeURIComponent(what));
    }
    let late = 0;
    const timer = setTimeout(() => {
      late = 1;
      cancel.abort();
    }, PATIENCE);
    try {
      const response = await fetch(base + path, {
        // A request without a body asks how far an erasure has come.
        ...(body && { method: 'POST', body, headers: { 'Content-Type': type, ...(packed && { 'Content-Encoding': 'gzip' }) } }),
        credentials: 'omit',
        // What stands behind the page's `?` is not for the collector.
        referrerPolicy: 'no-referrer',
        // What was meant for the collector must not be posted to wherever it points.
        redirect: 'manual',
        // A browser without it (Firefox before 133) sends no last request, or not to its end: a beacon would carry cookies.
        keepalive: leaving || (typeof body == 'string' ? body.length : body.size) < OTHER,
        signal: cancel.signal,
      });
      if (packed && NOT_IN_THIS_FORM.includes(response.status)) {
        // The records are sent again as they are.
        gzip = false;
        return [0, undefined, ''];
      }
      const { headers } = response;
      return [response.status, inSeconds(headers.get('Retry-After'), headers.get('Date')), (await response.text()).slice(0, 65_536)];
    } catch {
      // Browsers do not tell a preflight that failed from a network that did: take turns.
      if (!leaving && !cancel.signal.aborted && online()) simple = !simple;
      return [late, undefined, ''];
    } finally {
      clearTimeout(timer);
    }
  };
  return { pack, start };
};
