// What stands in `localStorage` or what the host has for it: this tab's queue, and those of tabs that are gone. The module writes and deletes
// single events; here it is looked through. The keys are listed in the crate's `store.rs`.

import type { Host } from './host.js';

/** Whose key it is, and the event's number in the queue; a key without one is a tab's `nb`. */
interface Place {
  key: string;
  tab: string;
  seq: string | undefined;
}

/** Characters of other tabs' queues that may stay where nobody can tell which of these tabs are gone. */
const OTHERS = 1 << 20;

export const openQueue = (prefix: string, { local, session, keys, only, locks }: Host, fresh: string) => {
  const name = prefix + 'tab';
  /** Whose queues these are: the first is the own one, the others were taken over. */
  const tabs = [only ?? session?.getItem(name) ?? fresh];

  const places = (): Place[] =>
    keys().flatMap((key) => {
      const found = key.startsWith(prefix) && /^(?:q:([^:]*):(\d{1,15})|nb:(.*))$/.exec(key.slice(prefix.length));
      return found ? { key, tab: found[1] ?? found[3]!, seq: found[2] } : [];
    });
  /** The epoch and the text of a value. */
  const parts = (key: string) => /^(\d{1,15})\|(.*)$/s.exec(local!.getItem(key) ?? '');
  const epoch = (key: string) => +(parts(key)?.[1] ?? -1);

  return {
    tabs,
    /** The name belongs to another living tab, of which this one is a duplicate. */
    rename: () => {
      // Also one of its own may be taken by now.
      tabs[0] = fresh += '0';
    },
    /** A name is data, too: while this tab was elsewhere another one may have withdrawn. */
    hasData: () => !!places().length || session?.getItem(name) != null,
    /** Other tabs that have left something here. */
    others: () => new Set(places().flatMap(({ tab }) => (tabs.includes(tab) ? [] : tab))),
    /**
     * Takes over this tab's queue and those of the tabs named: what is of this epoch is read, oldest first, what is of
     * another one is deleted unread. From now on the tab has a name in `sessionStorage`. Gives out the moment before
     * which nothing may be sent, or 0, and how many keys were deleted. Without locks nobody ever takes over the queue of a
     * tab that is gone: what they are in all is bounded here, or they would fill the site's storage.
     */
    recover: (of: number, gone: string[], found: (queue: number, seq: number, text: string) => boolean) => {
      try {
        session?.setItem(name, tabs[0]!);
      } catch {
        // Without it a reload finds its queue as one of a tab that is gone.
      }
      tabs.push(...gone);
      let notBefore = 0;
      let wiped = 0;
      let others = 0;
      const events: [queue: number, seq: number, text: string, key: string][] = [];
      for (const { key, tab, seq } of places()) {
        const queue = tabs.indexOf(tab);
        if (queue < 0) {
          if (!locks && (others += local!.getItem(key)!.length) > OTHERS) {
            local!.removeItem(key);
            wiped++;
          }
          continue;
        }
        const [, stamp = -1, text = ''] = parts(key) ?? [];
        if (+stamp != of) {
          local!.removeItem(key);
          wiped++;
        } else if (seq) events.push([queue, +seq, text, key]);
        else notBefore = Math.max(notBefore, +text || 0);
      }
      // A queue that was left behind is older than what this tab writes.
      events.sort(([a, one], [b, other]) => +!a - +!b || a - b || one - other);
      for (const [queue, seq, text, key] of events) {
        if (!found(queue, seq, text)) local!.removeItem(key);
      }
      return [notBefore, wiped] as const;
    },
    /** Deletes data older than an epoch, unread; if `own`, only what belongs to no living tab. Says how much. */
    wipe: (before: number, own: boolean, gone: string[]) => {
      let wiped = 0;
      for (const { key, tab } of places()) {
        if ((!own || tabs.includes(tab) || gone.includes(tab)) && epoch(key) < before) {
          local!.removeItem(key);
          wiped++;
        }
      }
      session?.removeItem(name);
      return wiped;
    },
    /** Keys of data with its epoch, -1 where it cannot be told, and its length; if `own`, without other tabs'. */
    list: (own: boolean, item: (key: string, epoch: number, length: number) => void) => {
      for (const { key, tab } of places()) {
        if (!own || tabs.includes(tab)) item(key, epoch(key), local!.getItem(key)?.length ?? 0);
      }
    },
    /** All keys. */
    keys: () => places().map(({ key }) => key),
  };
};
