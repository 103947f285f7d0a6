/**
 * The outbox: signals on their way to one collector. Each one ends up kept, refused or dropped, and is counted.
 */

const MAX_QUEUED = 500; // signals; the oldest make room
const MAX_BATCH = 50; // signals in one request
const MAX_BYTES = 60_000; // of one request: browsers allow sendBeacon and keepalive 64 KiB in all
const MAX_SIGNAL_BYTES = 16_000;
const MAX_BACKOFF_MS = 60_000;
const TIMEOUT_MS = 20_000;
const LATER = [401, 403, 404, 405, 407, 408, 425, 429]; // too much, a login, a proxy, another app: perhaps only for now

export const COUNTS = { recorded: 0, adopted: 0, kept: 0, refused: 0, dropped: 0, queued: 0, requests: 0, failures: 0 };

const bytes = (text) => new Blob([text]).size;
const wellFormed = (_, value) => value?.toWellFormed?.() ?? value; // JSON readers refuse half a surrogate pair

/** `tell(event)` hears of every signal, of its verdict and of what goes wrong; see core.js for the rest. */
export function newOutbox(url, { batchMs = 2_000, storage = true, credentials = "same-origin" } = {}, { tell, lazily, warn }) {
  const queue = new Map(); // event id -> the signal as JSON, oldest first
  const counts = { ...COUNTS };
  let timer, sending; // the next attempt; the one that is under way
  let underWay = []; // event ids
  let failed = 0; // in a row

  function settle(id, count, reason) {
    if (queue.delete(id)) {
      counts[count]++;
      tell({ type: "verdict", event_id: id, status: count, reason });
    }
    stored.part?.remove(id);
  }

  function enqueue(id, json, count) {
    counts[count]++;
    queue.set(id, json);
    if (queue.size > MAX_QUEUED) settle(queue.keys().next().value, "dropped", "the queue is full");
  }

  /** What survives the page. */
  const stored = lazily(
    () => import("./stored.js"),
    ({ newStored }) => newStored(url, (id, json) => enqueue(id, json, "adopted"), (error) => warn("storage", error.name)),
  );
  const persist = () => stored.part?.persist(queue);

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

  function requestOf(batch) {
    counts.requests++;
    return `{"signals":[${batch.map((id) => queue.get(id))}]}`;
  }

  /** POST a text, which needs no CORS preflight and may outlive the page. */
  const post = (body) =>
    fetch(url, {
      method: "POST",
      body,
      keepalive: true,
      credentials,
      redirect: "error", // to a login page, say: that would look like an answer
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });

  /** Send a batch and settle what the collector answers for; what it refuses once it would refuse again. */
  async function deliver(batch) {
    const response = await post(requestOf(batch));
    const { status } = response;
    const answer = await response.json().catch(() => {});
    const results = answer?.results;
    const final = status > 399 && status < 500 && !LATER.includes(status);
    if (!results?.find && !final) return warn("status", [url, status, answer?.error]);
    for (const id of batch) {
      const result = results?.find?.((result) => result.event_id === id);
      const { status: verdict = response.ok ? "later" : "refused", reason = `status ${status}` } = result ?? {};
      if (verdict === "refused") settle(id, "refused", reason);
      else if (verdict !== "later") settle(id, "kept", verdict);
    }
  }

  /** Send batch after batch; the first that is not answered for ends it, and time is left before the next try. */
  async function sendAll() {
    while (queue.size) {
      underWay = nextBatch();
      await deliver(underWay).catch((error) => warn("network", [url, error.message]));
      const answered = !underWay.some((id) => queue.has(id));
      underWay = [];
      if (!answered) {
        counts.failures++;
        if (storage) stored((part) => part.persist(queue));
        schedule(Math.min(MAX_BACKOFF_MS, 1_000 * 2 ** failed++) * (0.5 + Math.random() / 2));
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
  if (storage) stored(() => queue.size && schedule(batchMs));

  return {
    counts: () => ({ ...counts, queued: queue.size }),
    send,

    put(signal) {
      const json = JSON.stringify(signal, wellFormed);
      enqueue(signal.event_id, json, "recorded");
      tell({ type: "signal", ...signal });
      const why = !signal.handle ? "no handle" : !signal.kind ? "no kind" : bytes(json) > MAX_SIGNAL_BYTES && "too large";
      if (why) settle(signal.event_id, "refused", why);
      if (why) return false;
      if (queue.size < MAX_BATCH || failed) schedule(batchMs);
      else send();
      return true;
    },

    /** The page may be gone in a moment: what is not under way goes by beacon and stays stored until answered. */
    leave() {
      persist();
      const batch = nextBatch();
      if (!batch.length) return;
      const body = requestOf(batch);
      // sendBeacon always sends cookies: not where the app said that none are to go
      if (credentials === "omit" || !navigator.sendBeacon(url, body)) post(body).catch(() => {});
    },

    /** Consent was withdrawn: nothing stays. */
    clear() {
      const drop = () => [...queue.keys()].forEach((id) => settle(id, "dropped", "no consent"));
      drop();
      if (storage) stored(drop); // what it takes over from an earlier page, too
    },
  };
}
