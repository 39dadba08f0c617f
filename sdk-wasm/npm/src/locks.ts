// Web Locks. Where there are none (plain HTTP, Node) or they are denied to the page, work is done without them, and only the
// own tab's queue is touched.

/** A lock that somebody else holds who is stuck, and a tab's name, are waited for so long, in milliseconds. */
const PATIENCE = 5_000;
const NAME = 1_000;

const inTime = () => ({ signal: AbortSignal.timeout(PATIENCE) });

/**
 * `shared`: another living page may have handed this one its tab's name. `here`: the names that clients of this page have;
 * none of them comes free by waiting.
 */
export const openLocks = (prefix: string, locks: LockManager | undefined, shared = false, here = new Set<string>()) => {
  /** Names of tabs that are taken, and how to let go of each. */
  const names = new Map<string, () => void>();

  type Work<T> = (lock: Lock | null) => T | Promise<T>;
  const request = async <T>(name: string, how: LockOptions, work: Work<T>): Promise<T> => {
    let begun = false;
    try {
      if (locks) return await locks.request(prefix + name, how, (lock) => ((begun = true), work(lock)));
    } catch (error) {
      if (begun || (error as Error).name != 'SecurityError') throw error;
      // The page may have no locks, as it may have no storage: nothing is shared that they could guard.
      locks = undefined;
    }
    return work(null);
  };

  return {
    /** Alone among all tabs: changing a record. Fails where another one does not come to an end with it. */
    changing: <T>(work: () => Promise<T>) => request('record', inTime(), work),
    /** Beside other senders, and never while somebody fences. */
    sending: <T>(work: () => Promise<T>) => request('send', { mode: 'shared' }, work),
    /** Alone among all tabs: asking for what the outbox holds, until its record tells of the answer. Fails as `changing` does. */
    asking: <T>(work: () => Promise<T>) => request('outbox', inTime(), work),
    /** Waits until nobody sends any more; whether that came true in time. */
    fence: async (): Promise<boolean> => {
      try {
        await request('send', inTime(), () => {});
        return true;
      } catch {
        return false;
      }
    },
    /** Takes a tab's name until `release`: the own one, or that of a tab which is gone. Whether it could be had. */
    take: (tab: string, own: boolean): Promise<boolean> =>
      new Promise((done) => {
        if (names.has(tab)) return done(true);
        const name = 'tab:' + tab;
        const held = (lock: Lock | null) => {
          // Without locks only the page's own clients are known.
          const had = !!lock || (own && !locks && !here.has(prefix + name));
          done(had);
          if (!had) return;
          here.add(prefix + name);
          return new Promise<void>((free) => names.set(tab, free)).finally(() => here.delete(prefix + name));
        };
        // A page that was just left may still hold the name for a moment. Nothing is stored meanwhile.
        const left = own && !shared && !here.has(prefix + name);
        const how: LockOptions = left ? { signal: AbortSignal.timeout(NAME) } : { ifAvailable: true };
        request(name, how, held).catch(() => done(false));
      }),
    /** Whether another living tab has a name: it may collect. */
    others: async () => !!(await locks?.query())?.held!.some(({ name }) => name!.startsWith(prefix + 'tab:') && !names.has(name!.slice(prefix.length + 4))),
    /** Lets go of all names: the page may be frozen, or gone, or has nothing stored. */
    release: () => {
      names.forEach((free) => free());
      names.clear();
    },
  };
};
