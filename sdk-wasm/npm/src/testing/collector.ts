// A collector in memory. It keeps what it takes, and answers as a real one does or as it is told.

const TAKEN = '{"error":null,"status":1}';
const NOT_TAKEN = '{"error":"as told by the test","status":0}';

/** An answer for the collector to give. */
export interface TestAnswer {
  /** The HTTP status. With 2xx the collector takes the records. */
  status: number;
  /** `Retry-After`, in seconds. */
  retryAfter?: number | undefined;
  /** The body. Default: one that matches the status. */
  body?: string | undefined;
}

/** A request that has left, whether or not the collector took what was in it. */
export interface SentRequest {
  /** Path and query, such as `/track/?verbose=1&ip=0`. */
  path: string;
  /** Its body, parsed; `undefined` if it had none. */
  body: any;
  /** The status with which the collector answered. */
  status: number;
}

/** Something that the collector has taken, and whether an expectation has already matched it. */
export interface Taken {
  kind: 'event' | 'profile';
  value: any;
  expected: boolean;
}

export class Collector {
  readonly requests: SentRequest[] = [];
  readonly taken: Taken[] = [];
  readonly nextAnswers: TestAnswer[] = [];
  away = false;
  /** Device ids whose erasure was asked for. */
  readonly #erasures: string[] = [];

  /** Takes a request as `fetch` does; fails where there is no connection. */
  receive(path: string, text: string): Required<Omit<TestAnswer, 'retryAfter'>> & { retryAfter: number | undefined } {
    if (this.away) throw TypeError('the collector is away');
    const body = text ? JSON.parse(text.startsWith('data=') ? decodeURIComponent(text.slice(5)) : text) : undefined;
    const { status, retryAfter, body: said } = this.nextAnswers.shift() ?? this.#answerWell(path, body);
    const good = status >= 200 && status < 300;
    const answer = { status, retryAfter, body: said ?? (good ? TAKEN : NOT_TAKEN) };
    this.requests.push({ path, body, status });
    if (good && takes(answer.body) && Array.isArray(body)) {
      const kind = path.startsWith('/track') ? 'event' : 'profile';
      this.taken.push(...body.map((value) => ({ kind, value, expected: false }) as const));
    }
    return answer;
  }

  #answerWell(path: string, body: any): TestAnswer {
    const asked = /^\/refrain\/v1\/erasures(?:\/erasure-(\d+))?/.exec(path);
    if (!asked) return { status: 200 };
    if (!asked[1]) {
      const number = this.#erasures.push(body.device_id);
      return { status: 202, body: JSON.stringify({ id: `erasure-${number}`, state: 'accepted' }) };
    }
    const device = this.#erasures[+asked[1] - 1];
    if (device === undefined) return { status: 404 };
    const events = this.taken.filter(({ value }) => value.properties?.$device_id === device).length;
    const answer = { id: `erasure-${asked[1]}`, state: 'completed', receipt: { events } };
    return { status: 200, body: JSON.stringify(answer) };
  }
}

/** Whether a body says that the records are taken. What a client makes of the others is its own affair. */
const takes = (text: string): boolean => {
  try {
    const body = JSON.parse(text);
    return body === 1 || body.status === 1 || body.status === 'OK';
  } catch {
    return false;
  }
};
