// The simulated people: the program `shop-traffic`, one command a line, one answer a line.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { TOKEN } from './collector.mjs';

/** Who visits the shop. */
export const NAMES = ['ada', 'ben', 'chloe'];

/** Lets them in; what their clients keep is in the folder `people` below `folder`. */
export function startPeople(program, endpoint, folder) {
  return new People(program, endpoint, join(folder, 'people'));
}

class People {
  #child;
  #answers;
  #last = Promise.resolve();

  constructor(program, endpoint, folder) {
    this.#child = spawn(program, [endpoint, TOKEN, folder, ...NAMES], { stdio: ['pipe', 'pipe', 'inherit'] });
    // A program that has ended shows in the missing answer.
    this.#child.stdin.on('error', () => {});
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Gives a command; commands are answered in their order. */
  tell(...words) {
    const answer = this.#last.then(async () => {
      this.#child.stdin.write(`${words.join(' ')}\n`);
      const { done, value } = await this.#answers.next();
      if (done) throw new Error('shop-traffic has ended');
      const said = JSON.parse(value);
      if (said.error) throw new Error(said.error);
      return said;
    });
    this.#last = answer.catch(() => {});
    return answer;
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }
}
