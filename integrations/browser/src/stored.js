/** Signals that wait for a later page: a small share of localStorage, and never the last of it. */

export const STORED = "ragwheel:"; // "ragwheel:<collector> <event id>" -> the signal as JSON
const MAX_STORED = 100_000; // characters of ours, all collectors together

/**
 * The stored signals of one collector. `adopt(id, json)` takes over what an earlier page could not send; event ids make
 * a second delivery harmless. `failed(error)` hears when localStorage is full or forbidden.
 */
export function newStored(url, adopt, failed) {
  const prefix = `${STORED}${url} `;
  const saved = new Set(); // event ids

  function withStorage(use) {
    try {
      use(localStorage);
    } catch (error) {
      failed(error);
    }
  }

  withStorage((local) => {
    for (const key of Object.keys(local).filter((key) => key.startsWith(prefix))) {
      const id = key.slice(prefix.length);
      const json = local.getItem(key);
      let handle;
      try {
        handle = JSON.parse(json).handle;
      } catch {
        // not ours, or cut short
      }
      saved.add(id);
      if (handle) adopt(id, json);
      else remove(id);
    }
  });

  function remove(id) {
    if (saved.delete(id)) withStorage((local) => local.removeItem(prefix + id));
  }

  return {
    remove,

    /** Keep a queue (event id -> JSON) for a later page. */
    persist(queue) {
      if ([...queue.keys()].every((id) => saved.has(id))) return;
      withStorage((local) => {
        local.setItem(STORED, "-".repeat(2 * MAX_STORED)); // throws when the page itself will soon need the rest
        local.removeItem(STORED);
        let size = 0;
        for (const key of Object.keys(local)) if (key.startsWith(STORED)) size += key.length + local.getItem(key).length;
        for (const [id, json] of queue) {
          if (saved.has(id)) continue;
          size += prefix.length + id.length + json.length;
          if (size > MAX_STORED) break;
          local.setItem(prefix + id, json);
          saved.add(id);
        }
      });
    },
  };
}
