/**
 * ragwheel-beacon: what people do with retrieved chunks, sent to a ragwheel collector.
 *
 * One module without dependencies, used as it is. Two halves: an outbox per collector (below), and
 * `attach`, which watches the page. Nothing here throws into the page. README.md lists the attributes.
 */

const STORED = "ragwheel:"; // localStorage: "ragwheel:<collector> <event id>" -> the signal as JSON
const MAX_QUEUED = 500; // signals; the oldest make room
const MAX_BATCH = 50; // signals in one request
const MAX_BYTES = 60_000; // of one request: browsers allow sendBeacon and keepalive 64 KiB in all
const MAX_SIGNAL_BYTES = 16_000;
const MAX_BACKOFF_MS = 60_000;
const TIMEOUT_MS = 20_000;
const IMPRESSION_MS = 1_000; // half visible for this long: seen
const FOLLOWED_MS = 5_000; // the page hides this soon after a click on a link: the person went there

const outboxes = new Map(); // URL of a collector -> its outbox
const claimed = new WeakSet(); // events and cards that an `attach` has taken: a second one leaves them alone
let current = "/v1/signals"; // the endpoint of the latest `attach`
let errors = 0; // exceptions that did not reach the page

const bytes = (text) => new TextEncoder().encode(text).length;
const claim = (thing) => !claimed.has(thing) && claimed.add(thing);

/** `run`, with every exception counted and swallowed. */
const safely = (run, otherwise) =>
  (...given) => {
    try {
      return run(...given);
    } catch {
      errors++;
      return otherwise;
    }
  };

const parse = safely(JSON.parse);
const wellFormed = (_, value) => value?.toWellFormed?.() ?? value; // JSON readers refuse half a surrogate pair

/** A random id; pages without HTTPS have no `crypto.randomUUID`. */
function newId() {
  if (globalThis.crypto?.randomUUID) return crypto.randomUUID();
  const random = globalThis.crypto?.getRandomValues
    ? crypto.getRandomValues(new Uint8Array(16))
    : Uint8Array.from({ length: 16 }, () => Math.random() * 256);
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- Outbox: signals on their way. Each one ends up kept, refused or dropped, and is counted. ---

function outboxFor(endpoint, options) {
  const url = new URL(endpoint, globalThis.document?.baseURI).href;
  let box = outboxes.get(url);
  if (!box) outboxes.set(url, (box = newOutbox(url, options)));
  return box;
}

function newOutbox(url, { batchMs = 2_000, storage = true } = {}) {
  const queue = new Map(); // event id -> the signal as JSON, oldest first
  const counts = { recorded: 0, adopted: 0, kept: 0, refused: 0, dropped: 0, requests: 0, failures: 0 };
  const prefix = `${STORED}${url} `;
  let stored = false; // whether localStorage may hold some of the queue
  let timer, sending; // the next attempt; the one that is under way
  let underWay = []; // event ids
  let failed = 0; // in a row

  /** Do something with localStorage, which may be missing, full or forbidden. */
  function withStorage(use) {
    try {
      if (storage) use(globalThis.localStorage);
    } catch {
      // Private mode or a full disk: the queue in memory is all there is.
    }
  }

  function settle(id, count) {
    if (queue.delete(id)) counts[count]++;
    if (stored) withStorage((local) => local.removeItem(prefix + id));
  }

  function enqueue(id, json, count) {
    counts[count]++;
    queue.set(id, json);
    if (queue.size > MAX_QUEUED) settle(queue.keys().next().value, "dropped");
  }

  /** Take over what an earlier page could not send; event ids make a second delivery harmless. */
  withStorage((local) => {
    for (const key of Object.keys(local).filter((key) => key.startsWith(prefix))) {
      const json = local.getItem(key);
      stored = true;
      if (parse(json)?.handle) enqueue(key.slice(prefix.length), json, "adopted");
      else local.removeItem(key);
    }
  });

  function persist() {
    withStorage((local) => {
      for (const [id, json] of queue) {
        stored = true;
        local.setItem(prefix + id, json);
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
      credentials: "omit",
      redirect: "error", // to a login page, say: that would look like an answer
      signal: globalThis.AbortSignal?.timeout?.(TIMEOUT_MS),
    });

  /** Send a batch and settle what the collector answers for; what it refuses once it would refuse again. */
  async function deliver(batch) {
    counts.requests++;
    const response = await post(bodyOf(batch));
    if (response.status >= 500 || [408, 425, 429].includes(response.status)) return;
    const answer = await response.json().catch(() => {});
    const verdicts = new Map(answer?.results?.map?.((result) => [result.event_id, result.status]));
    for (const id of batch) {
      const verdict = verdicts.get(id) ?? (response.ok ? "later" : "refused");
      if (verdict !== "later") settle(id, verdict === "refused" ? "refused" : "kept");
    }
  }

  /** Send batch after batch; the first that is not answered for ends it, and time is left before the next try. */
  async function sendAll() {
    while (queue.size) {
      underWay = nextBatch();
      await deliver(underWay).catch(() => {});
      const answered = !underWay.some((id) => queue.has(id));
      underWay = [];
      if (!answered) {
        counts.failures++;
        persist();
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

  globalThis.addEventListener?.("online", safely(send));
  if (queue.size) schedule(batchMs);

  return {
    counts,
    size: () => queue.size,
    send,
    schedule,

    put(signal) {
      const json = JSON.stringify(signal, wellFormed);
      enqueue(signal.event_id, json, "recorded");
      if (!signal.handle || !signal.kind || bytes(json) > MAX_SIGNAL_BYTES) settle(signal.event_id, "refused");
      const taken = queue.has(signal.event_id);
      if (taken && queue.size >= MAX_BATCH && !failed) send();
      else if (taken) schedule(batchMs);
      return taken;
    },

    /** The page may be gone in a moment: what is not under way goes by beacon and stays stored until answered. */
    leave() {
      persist();
      const batch = nextBatch();
      if (!batch.length) return;
      counts.requests++;
      const body = bodyOf(batch);
      if (!navigator.sendBeacon?.(url, body)) post(body).catch(() => {});
    },
  };
}

// --- What an app calls ---

/**
 * Record one signal by hand. Never throws.
 *
 * @returns {boolean} false when it cannot be one: no handle, no kind, or larger than 16 KB
 */
export const signal = safely((handle, kind, options = {}) => {
  const { chunk, rank, value, query, other, comment, reason, at = new Date(), endpoint = current } = options;
  const seconds = at instanceof Date ? at / 1000 : at;
  const about = { chunk, rank, value, query, other, comment, reason };
  return outboxFor(endpoint).put({ handle, kind, ...about, event_id: newId(), at: seconds });
}, false);

/** Send now what is waiting; resolves to whether the collector has answered for all of it. */
export const flush = safely((endpoint = current) => outboxFor(endpoint).send(), Promise.resolve(false));

/** Counters: recorded + adopted = kept + refused + dropped + queued. */
export const stats = safely((endpoint = current) => {
  const box = outboxFor(endpoint);
  return { ...box.counts, queued: box.size(), errors };
});

/**
 * Watch `container` for everything that its `data-ragwheel-*` attributes name, now and later.
 *
 * @returns {() => void} detach: report what was seen and stop watching
 */
export const attach = safely((container = document, options = {}) => watch(container, options), () => {});

// --- Watching a page ---

const named = (name, value) => `[data-ragwheel-${name}${value ?? ""}]`;
const said = (element, name) => element?.getAttribute(`data-ragwheel-${name}`) ?? undefined;
const ABOUT_TURN = ["reformulate", "follow_up", "abandon", "convert"]; // said of no chunk, wherever the button is
const FIELD = "select, textarea, input:not([type=button], [type=submit], [type=reset], [type=image])";
const SWITCHED_ON = // a click here takes something back: there is no signal for that
  '[aria-pressed="true"], [aria-expanded="true"], details[open] > summary, [type=checkbox]:not(:checked)';

/** The nearest element at or above `node` that matches, also out of shadow roots. */
function closest(node, selector) {
  const element = node?.closest ? node : node?.parentElement;
  return element && (element.closest(selector) ?? closest(element.getRootNode().host, selector));
}

const handleOf = (element) => said(closest(element, named("handle")), "handle");

function watch(root, { endpoint = current, idleMs = 60_000, ...sending }) {
  current = endpoint;
  const box = outboxFor(endpoint, sending);
  const looks = newLooks((look, kind, value) => signal(look.handle, kind, { chunk: look.chunk, value, endpoint }), idleMs);
  const cards = new Map(); // element with data-ragwheel-chunk -> its look
  const off = new AbortController();
  let scanning;

  const listen = (target, types, run) => {
    for (const type of types.split(" ")) {
      target.addEventListener(type, safely(run), { capture: true, passive: true, signal: off.signal });
    }
  };

  // Which cards there are, and how much of each is in view

  const seen = globalThis.IntersectionObserver && new IntersectionObserver(
    safely((entries) => {
      for (const { target, isIntersecting, intersectionRatio, intersectionRect, rootBounds } of entries) {
        const enough = intersectionRatio >= 0.5 || intersectionRect.height >= (rootBounds?.height ?? innerHeight) / 2;
        const look = cards.get(target);
        if (look) looks.show(look, target, isIntersecting && enough);
      }
    }),
    { threshold: Array.from({ length: 51 }, (_, step) => step / 50) }, // a long text never shows half of itself
  );

  function scan() {
    scanning = undefined;
    const found = new Set(root.querySelectorAll(named("chunk")));
    if (root.matches?.(named("chunk"))) found.add(root);
    for (const [card, look] of cards) {
      if (!found.has(card) || look.handle !== handleOf(card) || look.chunk !== said(card, "chunk")) drop(card);
    }
    for (const card of found) {
      const handle = handleOf(card);
      if (cards.has(card) || !handle || !claim(card)) continue;
      cards.set(card, looks.of(handle, said(card, "chunk")));
      seen?.observe(card);
    }
  }

  function drop(card) {
    const look = cards.get(card);
    cards.delete(card);
    claimed.delete(card);
    seen?.unobserve(card);
    looks.show(look, card, false);
    looks.report(look);
  }

  const changes = new MutationObserver(() => (scanning ??= setTimeout(safely(scan), 50)));
  const attributeFilter = ["data-ragwheel-handle", "data-ragwheel-chunk"];
  changes.observe(root, { subtree: true, childList: true, attributes: true, attributeFilter });
  scan();

  // What people do. Listening on the way down: before the app's own handlers, which may remove the card.

  listen(root, "click auxclick submit change", (event) => {
    const by = closest(event.composedPath()[0], `${named("action")}, a[href]`);
    if (!by || !claim(event)) return;
    if (said(by, "action")) act(by, event.type);
    else if (event.type === "click" || event.button === 1) follow(by);
  });

  listen(root, "copy", (event) => {
    const card = closest(event.composedPath()[0], named("chunk"));
    if (card && claim(event) && `${getSelection()}`) say(card, "copy", { chunk: said(card, "chunk") });
  });

  const say = (element, kind, about) => signal(handleOf(element), kind, { ...about, endpoint });

  function follow(link) {
    const card = closest(link, named("chunk"));
    if (!card) return;
    say(card, "click", { chunk: said(card, "chunk") });
    looks.follow(cards.get(card));
  }

  /** `by` has a data-ragwheel-action: forms act on submit, fields on change, everything else on click. */
  function act(by, type) {
    const field = by.matches(FIELD);
    if (type !== (by.matches("form") ? "submit" : field ? "change" : "click") || by.matches(SWITCHED_ON)) return;
    const kind = said(by, "action");
    const chunk = ABOUT_TURN.includes(kind) ? undefined : (said(by, "for") ?? said(closest(by, named("chunk")), "chunk"));
    const written = field ? by.value : undefined;
    const value = said(by, "value") ?? (kind === "reformulate" ? undefined : written);
    const query = said(by, "query") ?? (kind === "reformulate" ? (written ?? by.querySelector?.(FIELD)?.value) : undefined);
    for (const other of kind === "prefer" ? rivals(by, chunk) : [said(by, "other")]) {
      say(by, kind, { chunk, other, query, value: value === undefined ? value : Number(value) });
    }
  }

  /** The chunks that lose when `chunk` is preferred: the one named, or the others of the comparison. */
  function rivals(by, chunk) {
    const shown = [...(closest(by, named("compare"))?.querySelectorAll(named("chunk")) ?? [])];
    const others = new Set(shown.map((card) => said(card, "chunk")).filter((id) => id !== chunk));
    return said(by, "other") || !others.size ? [said(by, "other")] : others;
  }

  // When the page is looked at

  listen(document, "pointermove pointerdown keydown wheel scroll touchmove", looks.active);
  let left = false; // pagehide comes before the visibilitychange that goes with it
  listen(document, "visibilitychange", () => {
    looks.refresh(left);
    if (document.visibilityState === "hidden" && !left) {
      looks.reportAll();
      box.send();
    }
  });
  listen(globalThis, "focus blur", () => looks.refresh(left));
  listen(globalThis, "pageshow", (event) => {
    looks.refresh((left = false));
    if (event.persisted) box.send(); // back from the browser's memory
  });
  listen(globalThis, "pagehide", () => {
    looks.refresh((left = true));
    looks.reportAll();
    box.leave();
  });

  return safely(() => {
    if (off.signal.aborted) return;
    off.abort();
    changes.disconnect();
    clearTimeout(scanning);
    for (const card of [...cards.keys()]) drop(card);
    seen?.disconnect();
    box.send();
  });
}

/**
 * Clocks: for how long each chunk of each answer was looked at, on the browser's monotonic clock.
 *
 * A chunk's time runs while it is in view, the page is visible and has the focus, and somebody has moved,
 * scrolled or typed within `idleMs`. `tell(look, kind, value)` gets `impression` and the growing `dwell`.
 */
function newLooks(tell, idleMs) {
  const all = new Map(); // handle and chunk -> look
  let activeAt = performance.now();
  let gone = false; // between pagehide and pageshow
  let followed, away; // the look whose link was clicked, and since when the person is there

  const pageVisible = () => !gone && document.visibilityState === "visible";

  /** Add the time since the look's clock was started, and start it again if somebody is looking. */
  function update(look) {
    const now = performance.now();
    if (look.since !== undefined) look.ms += Math.max(0, Math.min(now, activeAt + idleMs) - look.since);
    const visible = look.cards.size > 0 && pageVisible();
    look.since = visible && document.hasFocus() ? now : undefined;
    if (!visible || look.impressed) {
      clearTimeout(look.timer);
      look.timer = undefined;
    } else {
      look.timer ??= setTimeout(safely(impress), IMPRESSION_MS, look);
    }
  }

  function impress(look) {
    look.timer = undefined;
    const drawn = { opacityProperty: true, visibilityProperty: true };
    look.impressed = [...look.cards].some((card) => card.checkVisibility?.(drawn) ?? true);
    if (look.impressed) tell(look, "impression");
    else update(look);
  }

  /** Time on the page behind a chunk's link counts as time with the chunk. */
  function comeAndGo(now) {
    if (!pageVisible()) {
      if (followed && now - followed.at < FOLLOWED_MS) away ??= { look: followed.look, at: now };
      followed = undefined;
    } else if (away) {
      away.look.ms += Math.min(now - away.at, idleMs);
      away = undefined;
    }
  }

  function report(look) {
    update(look);
    // While somebody reads what the chunk links to, a short time would say that they didn't like it.
    if (look === away?.look || look.ms < IMPRESSION_MS || look.ms < look.told * 1.05) return;
    look.told = look.ms;
    tell(look, "dwell", Math.round(look.ms) / 1_000);
  }

  return {
    report,
    reportAll: () => all.forEach(report),

    of(handle, chunk) {
      const key = JSON.stringify([handle, chunk]);
      if (!all.has(key)) all.set(key, { handle, chunk, cards: new Set(), ms: 0, told: 0, impressed: false });
      return all.get(key);
    },

    show(look, card, visible) {
      if (visible) look.cards.add(card);
      else look.cards.delete(card);
      update(look);
    },

    follow(look) {
      if (look) followed = { look, at: performance.now() };
    },

    /** The page was shown, hidden, focused or left. */
    refresh(left) {
      gone = left;
      comeAndGo(performance.now());
      all.forEach(update);
      activeAt = performance.now();
    },

    /** Somebody is there: after a pause, clocks go on from here. */
    active() {
      const now = performance.now();
      if (now - activeAt > idleMs) all.forEach(update);
      activeAt = now;
    },
  };
}
