// Web Locks. Where there are none (plain HTTP), work is done without them, and only the own tab's queue is touched.

/** A fence and a tab's name are waited for so long, in milliseconds. */
const FENCE = 5_000;
const NAME = 1_000;

export const openLocks = (prefix: string) => {
  const locks: LockManager | undefined = navigator.locks;
  /** Names of tabs that are taken, and how to let go of each. */
  const names = new Map<string, () => void>();

  const within = <T>(name: string, mode: LockMode, work: () => Promise<T>): Promise<T> =>
    locks ? (locks.request(prefix + name, { mode }, work) as Promise<T>) : work();

  return {
    /** Alone among all tabs: changing a record. */
    changing: <T>(work: () => Promise<T>) => within('record', 'exclusive', work),
    /** Beside other senders, and never while somebody fences. */
    sending: <T>(work: () => Promise<T>) => within('send', 'shared', work),
    /** Waits until nobody sends any more; whether that came true in time. */
    fence: async (): Promise<boolean> => {
      try {
        await locks?.request(prefix + 'send', { signal: AbortSignal.timeout(FENCE) }, () => {});
        return true;
      } catch {
        return false;
      }
    },
    /** Takes a tab's name until `release`: the own one, or that of a tab which is gone. Whether it could be had. */
    take: (tab: string, own: boolean): Promise<boolean> =>
      new Promise((done) => {
        if (!locks || names.has(tab)) return done(own || !!locks);
        const held = (lock: Lock | null) => {
          done(!!lock);
          return lock && new Promise<void>((free) => names.set(tab, free));
        };
        // A page that was just left may still hold the name for a moment.
        const how: LockOptions = own ? { signal: AbortSignal.timeout(NAME) } : { ifAvailable: true };
        locks.request(prefix + 'tab:' + tab, how, held).catch(() => done(false));
      }),
    /** Lets go of all names: the page may be frozen, or gone. */
    release: () => {
      names.forEach((free) => free());
      names.clear();
    },
  };
};
