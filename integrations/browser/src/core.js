/**
 * What an app calls. One of these belongs to a document, however often the module is loaded: see ragwheel.js.
 *
 * Nothing here throws into the page.
 */
import { newLooks } from "./looks.js";
import { COUNTS, newOutbox } from "./outbox.js";
import { listen } from "./page.js";
import { watch } from "./watch.js";

/** Kinds of a group take each other's place: only the last one counts. */
const groupOf = (kind) => /^(thumbs_(up|down)|rating)$/.test(kind) && kind[0];

const outboxes = new Map(); // URL of a collector -> its outbox
const votes = new Map(); // collector, handle, chunk and group -> event id of the vote that counts
const observers = new Set();
const history = []; // what happened in debug mode, for observers that come later
const watchers = new Set(); // { start, stop }: without `stop` where one waits for consent
const settings = { idleMs: 60_000, storage: true, safely };
let current = "/v1/signals"; // the endpoint of the latest `attach`
let errors = 0; // exceptions that did not reach the page
let allowed = true; // consent
let debug = false;
let looks;

/** `run`, with every exception counted and swallowed. */
function safely(run, otherwise) {
  return (...values) => {
    try {
      return run(...values);
    } catch (error) {
      errors++;
      if (debug) console.error("ragwheel:", error);
      return otherwise;
    }
  };
}

/** A part that only some pages need: `use(run)` runs at once where it is loaded, else as soon as it is. */
function lazily(load, make = (module) => module) {
  let loading;
  const use = (run = () => {}) => {
    const go = safely(() => run(use.part));
    if (use.part) return go();
    loading ??= load().then((module) => {
      use.part = make(module);
    }).catch((error) => {
      loading = undefined; // the next need tries again
      errors++;
      warn("part", error.message);
    });
    loading.then(() => use.part && go());
  };
  return use;
}

function tell(event) {
  if (debug && history.length < 500) history.push(event);
  for (const observer of observers) safely(observer)(event);
}

/** Something is wrong: debug mode has the words for it. */
const warn = (code, detail, element) => tell({ type: "warning", code, detail, element });

const debugging = lazily(() => import("./debug.js"), ({ newDebug }) => observe(newDebug(tell)));

/** A random id, also on pages without HTTPS. */
const newId = () => crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");

function outboxFor(endpoint = current, options) {
  const url = new URL(endpoint, globalThis.document?.baseURI).href;
  if (!outboxes.has(url)) outboxes.set(url, newOutbox(url, options, { tell, lazily, warn }));
  return outboxes.get(url);
}

const each = (method) => outboxes.forEach((box) => box[method]());

const signal = safely((handle, kind, { at = new Date(), endpoint, eventId = newId(), replace, ...about } = {}) =>
  allowed && outboxFor(endpoint).put({ ...about, handle, kind, event_id: eventId, at: at instanceof Date ? at / 1000 : at }),
false);

const voteKey = (handle, kind, { chunk, endpoint = current }) => JSON.stringify([endpoint, handle, chunk, groupOf(kind)]);

/** A signal that takes the place of an earlier one where only one can count: thumbs, ratings. */
const vote = safely((handle, kind, options = {}) => {
  const eventId = options.eventId ?? newId();
  if (groupOf(kind)) {
    const key = voteKey(handle, kind, options);
    const former = votes.get(key);
    if (former && (former.kind !== kind || kind === "rating" || options.replace)) {
      signal(handle, "retract", { endpoint: options.endpoint, other: former.eventId });
    }
    votes.set(key, { kind, eventId });
  }
  return signal(handle, kind, { ...options, eventId });
}, false);

/** Take back every earlier signal of a kind about a chunk, or about the answer. */
const retract = safely((handle, kind, { chunk, endpoint } = {}) => {
  votes.delete(voteKey(handle, kind, { chunk, endpoint }));
  return signal(handle, "retract", { chunk, endpoint, other: kind });
}, false);

const flush = safely((endpoint) => outboxFor(endpoint).send(), Promise.resolve(false));

const stats = (endpoint) => {
  const box = safely(outboxFor)(endpoint); // undefined where there is no page: rendering on a server
  return { ...COUNTS, ...box?.counts(), errors };
};

const observe = (observer) => {
  observers.add(observer);
  history.forEach(safely(observer));
  return () => observers.delete(observer);
};

const opened = safely((handle, chunk, { endpoint = current } = {}) => {
  if (allowed) clocks().open(clocks().of(endpoint, handle, `${chunk}`));
});

const closed = safely(() => looks?.close());

const consent = safely((given) => {
  allowed = given === true;
  for (const watcher of watchers) {
    watcher.stop?.();
    watcher.stop = allowed ? watcher.start() : undefined;
  }
  if (!allowed) {
    each("clear");
    looks?.clear();
  }
});

const attach = safely((container = document, options = {}) => {
  const { endpoint = current, idleMs, storage, gpc } = options;
  current = endpoint;
  settings.idleMs = idleMs ?? settings.idleMs;
  settings.storage = storage ?? settings.storage;
  debug = options.debug ?? debug;
  if (debug) debugging();
  if (options.consent === false || (gpc && navigator.globalPrivacyControl)) allowed = false;
  const start = () => {
    outboxFor(endpoint, options);
    return watch(container, endpoint, { looks: clocks(), safely, lazily, warn, vote, retract });
  };
  const watcher = { start, stop: allowed ? start() : undefined };
  watchers.add(watcher);
  return safely(() => {
    watcher.stop?.();
    watchers.delete(watcher);
    outboxFor(endpoint).send();
  });
}, () => {});

/** The clocks of the document, and what starts and stops them all. */
function clocks() {
  if (looks) return looks;
  looks = newLooks(({ endpoint, handle, chunk }, kind, value) => signal(handle, kind, { chunk, value, endpoint }), settings);
  let left = false; // pagehide comes before the visibilitychange that goes with it
  const hear = (target, types, run) => listen(target, types, safely(run));
  hear(document, "pointermove pointerdown keydown wheel scroll touchmove", looks.active);
  hear(document, "visibilitychange", () => {
    looks.refresh(left);
    if (document.hidden && !left) {
      looks.reportAll();
      each("send");
    }
  });
  hear(globalThis, "pageshow pagehide", ({ type }) => {
    left = type === "pagehide";
    looks.refresh(left);
    if (left) {
      looks.reportAll();
      each("leave");
    } else each("send"); // the page may be back from the browser's memory
  });
  return looks;
}

export const beacon = { attach, closed, consent, flush, observe, opened, retract, signal, stats, vote };
