/**
 * The outbox: signals on their way to one collector. Each one ends up kept, refused or dropped, and is counted.
 */

export const STORED = "ragwheel:"; // localStorage: "ragwheel:<collector> <event id>" -> the signal as JSON
const MAX_QUEUED = 500; // signals; the oldest make room
const MAX_BATCH = 50; // signals in one request
const MAX_BYTES = 60_000; // of one request: browsers allow sendBeacon and keepalive 64 KiB in all
const MAX_SIGNAL_BYTES = 16_000;
const MAX_STORED = 100_000; // characters of ours in localStorage, all collectors together
const MAX_BACKOFF_MS = 60_000;
const TIMEOUT_MS = 20_000;
const TRY_AGAIN = [408, 425, 429];
const NO_COLLECTOR = [401, 403, 404, 405, 407]; // a login, a proxy, another app: perhaps only for now

const bytes = (text) => new TextEncoder().encode(text).length;
const wellFormed = (_, value) => value?.toWellFormed?.() ?? value; // JSON readers refuse half a surrogate pair

/** `tell(event)` hears of every signal, of its verdict and of what goes wrong. */
export function newOutbox(url, { batchMs = 2_000, storage = true, credentials = "same-origin" } = {}, tell = () => {}) {
  const queue = new Map(); // event id -> the signal as JSON, oldest first
  const saved = new Set(); // event ids that are in localStorage
  const counts = { recorded: 0, adopted: 0, kept: 0, refused: 0, dropped: 0, requests: 0, failures: 0 };
  const prefix = `${STORED}${url} `;
  let timer, sending; // the next attempt; the one that is under way
  let underWay = []; // event ids
  let failed = 0; // in a row

  const warn = (code, message) => tell({ type: "warning", code, message });

  /** Do something with localStorage, which may be missing, full or forbidden. */
  function withStorage(use) {
    try {
      if (storage) use(globalThis.localStorage);
    } catch (error) {
      warn("storage", `localStorage is full or forbidden (${error.name}): unsent signals wait in memory only`);
    }
  }

  function settle(id, count, reason) {
    if (queue.delete(id)) {
      counts[count]++;
      tell({ type: "verdict", event_id: id, status: count, reason });
    }
    if (saved.delete(id)) withStorage((local) => local.removeItem(prefix + id));
  }

  function enqueue(id, json, count) {
    counts[count]++;
    queue.set(id, json);
    if (queue.size > MAX_QUEUED) settle(queue.keys().next().value, "dropped", "too many signals wait");
  }

  /** Take over what an earlier page could not send; event ids make a second delivery harmless. */
  withStorage((local) => {
    for (const key of Object.keys(local ?? {}).filter((key) => key.startsWith(prefix))) {
      const id = key.slice(prefix.length);
      const json = local.getItem(key);
      let handle;
      try {
        handle = JSON.parse(json).handle;
      } catch {
        // not ours, or cut short
      }
      saved.add(id);
      if (handle) enqueue(id, json, "adopted");
      else settle(id);
    }
  });

  /** Keep the queue for a later page: a small share of localStorage, and never the last of it. */
  function persist() {
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
  }

  /** The oldest signals that fit into one request, without those that are under way. */
  function nextBatch() {
    const batch = [];
    let size = 20;
    for (const [id, json] of queue) {
      if (underWay.includes(id)) continue;
      size += bytes(json) + 1;
      if (batch.length === MAX_BATCH || size > MAX_BYTES) break;
      batch.push(id);
    }
    return batch;
  }

  const bodyOf = (batch) => `{"signals":[${batch.map((id) => queue.get(id))}]}`;

  /** POST a text, which needs no CORS preflight and may outlive the page. */
  const post = (body) =>
    fetch(url, {
      method: "POST",
      body,
      keepalive: true,
      credentials,
      redirect: "error", // to a login page, say: that would look like an answer
      signal: globalThis.AbortSignal?.timeout?.(TIMEOUT_MS),
    });

  /** Send a batch and settle what the collector answers for; what it refuses once it would refuse again. */
  async function deliver(batch) {
    counts.requests++;
    const response = await post(bodyOf(batch));
    const { status } = response;
    const answer = await response.json().catch(() => {});
    const results = answer?.results?.map && new Map(answer.results.map((result) => [result.event_id, result]));
    if (!results && NO_COLLECTOR.includes(status)) {
      const about = answer?.error ?? "no collector answers there; is the endpoint right, and is the person logged in?";
      return warn(`status ${status}`, `${url} answers ${status}: ${about}`);
    }
    if (status >= 500 || TRY_AGAIN.includes(status)) return;
    for (const id of batch) {
      const result = results?.get(id);
      const verdict = result?.status ?? (response.ok ? "later" : "refused");
      if (verdict === "refused") settle(id, "refused", result?.reason ?? `status ${status}`);
      else if (verdict !== "later") settle(id, "kept", verdict);
    }
  }

  /** Send batch after batch; the first that is not answered for ends it, and time is left before the next try. */
  async function sendAll() {
    while (queue.size) {
      underWay = nextBatch();
      await deliver(underWay).catch((error) => warn("network", `${url} cannot be reached: ${error.message}`));
      const answered = !underWay.some((id) => queue.has(id));
      underWay = [];
      if (!answered) {
        counts.failures++;
        persist();
        schedule(Math.min(MAX_BACKOFF_MS, 1_000 * 2 ** Math.min(failed++, 9)) * (0.5 + Math.random() / 2));
        return false;
      }
      failed = 0;
    }
    return true;
  }

  function schedule(ms) {
    timer ??= setTimeout(send, ms);
  }

  function send() {
    clearTimeout(timer);
    timer = undefined;
    return (sending ??= sendAll().finally(() => (sending = undefined)));
  }

  globalThis.addEventListener?.("online", () => send());
  if (queue.size) schedule(batchMs);

  return {
    counts,
    size: () => queue.size,
    send,

    put(signal) {
      const json = JSON.stringify(signal, wellFormed);
      enqueue(signal.event_id, json, "recorded");
      tell({ type: "signal", ...signal });
      const why = !signal.handle ? "no handle" : !signal.kind ? "no kind" : bytes(json) > MAX_SIGNAL_BYTES && "too large";
      if (why) settle(signal.event_id, "refused", why);
      const accepted = queue.has(signal.event_id);
      if (accepted && queue.size >= MAX_BATCH && !failed) send();
      else if (accepted) schedule(batchMs);
      return accepted;
    },

    /** The page may be gone in a moment: what is not under way goes by beacon and stays stored until answered. */
    leave() {
      persist();
      const batch = nextBatch();
      if (!batch.length) return;
      counts.requests++;
      const body = bodyOf(batch);
      // sendBeacon always sends cookies: not where the app said that none are to go
      if (credentials === "omit" || !navigator.sendBeacon?.(url, body)) post(body).catch(() => {});
    },

    /** Consent was withdrawn: nothing stays. */
    clear() {
      for (const id of [...queue.keys()]) settle(id, "dropped", "no consent");
    },
  };
}
