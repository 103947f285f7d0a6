/**
 * What an app calls. One of these belongs to a document, however often the module is loaded: see ragwheel.js.
 *
 * Nothing here throws into the page.
 */
import { newLooks } from "./looks.js";
import { newOutbox } from "./outbox.js";
import { watch } from "./watch.js";

const GROUPS = { thumbs_up: "thumbs", thumbs_down: "thumbs", rating: "rating" }; // one of a group counts, the last
const EMPTY = { recorded: 0, adopted: 0, kept: 0, refused: 0, dropped: 0, requests: 0, failures: 0, queued: 0 };

const outboxes = new Map(); // URL of a collector -> its outbox
const votes = new Map(); // collector, handle, chunk and group -> event id of the vote that counts
const observers = new Set();
const warnings = new Set();
const waiting = new Map(); // watchers that wait for consent, or go on with it -> how to stop them
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

function tell(event) {
  for (const observer of observers) safely(observer)(event);
  if (event.type === "verdict" && event.status === "refused") warn(`refused ${event.reason}`, `a signal was refused: ${event.reason}`);
  else if (event.type === "warning") warn(event.code, event.message);
}

/** Say something once, in debug mode. */
function warn(code, message, element) {
  if (!debug || warnings.has(code)) return;
  warnings.add(code);
  console.warn(`ragwheel: ${message}`, element ?? "");
  for (const observer of observers) safely(observer)({ type: "warned", code, message, element });
}

function newId() {
  if (globalThis.crypto?.randomUUID) return crypto.randomUUID(); // not on pages without HTTPS
  const random = globalThis.crypto?.getRandomValues
    ? crypto.getRandomValues(new Uint8Array(16))
    : Uint8Array.from({ length: 16 }, () => Math.random() * 256);
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function outboxFor(endpoint, options) {
  const url = new URL(endpoint, globalThis.document?.baseURI).href;
  if (!outboxes.has(url)) outboxes.set(url, newOutbox(url, options, tell));
  return outboxes.get(url);
}

export const signal = safely((handle, kind, options = {}) => {
  if (!allowed) return false;
  const { chunk, rank, value, query, other, comment, reason, at = new Date(), endpoint = current } = options;
  const about = { chunk, rank, value, query, other, comment, reason };
  const seconds = at instanceof Date ? at / 1000 : at;
  return outboxFor(endpoint).put({ handle, kind, ...about, event_id: options.eventId ?? newId(), at: seconds });
}, false);

const voteKey = (handle, kind, { chunk, endpoint = current }) => JSON.stringify([endpoint, handle, chunk, GROUPS[kind]]);

/** A signal that takes the place of an earlier one where only one can count: thumbs, ratings. */
export const vote = safely((handle, kind, options = {}) => {
  const key = GROUPS[kind] && voteKey(handle, kind, options);
  const eventId = options.eventId ?? newId();
  const former = key && votes.get(key);
  if (former && (former.kind !== kind || kind === "rating" || options.replace)) {
    signal(handle, "retract", { endpoint: options.endpoint, other: former.eventId });
  }
  if (key) votes.set(key, { kind, eventId });
  return signal(handle, kind, { ...options, eventId });
}, false);

/** Take back every earlier signal of a kind about a chunk, or about the answer. */
export const retract = safely((handle, kind, { chunk, endpoint } = {}) => {
  votes.delete(voteKey(handle, kind, { chunk, endpoint }));
  return signal(handle, "retract", { chunk, endpoint, other: kind });
}, false);

export const flush = safely((endpoint = current) => outboxFor(endpoint).send(), Promise.resolve(false));

export const stats = (endpoint = current) => {
  const box = safely(outboxFor)(endpoint); // undefined where there is no page: rendering on a server
  return { ...EMPTY, ...box?.counts, queued: box?.size() ?? 0, errors };
};

export const observe = (observer) => {
  observers.add(observer);
  return () => observers.delete(observer);
};

export const opened = safely((handle, chunk, { endpoint = current } = {}) => {
  if (allowed) clocks().open(clocks().of(endpoint, handle, `${chunk}`));
});

export const closed = safely(() => looks?.close());

export const consent = safely((given) => {
  allowed = given === true;
  for (const [start, stop] of waiting) {
    if (allowed && !stop) waiting.set(start, start());
    else if (!allowed && stop) {
      stop();
      waiting.set(start, undefined);
    }
  }
  if (allowed) return;
  for (const box of outboxes.values()) box.clear();
  looks?.clear();
});

export const attach = safely((container = document, options = {}) => {
  const { endpoint = current, idleMs, storage, gpc, consent: asked, debug: loud, ...sending } = options;
  current = endpoint;
  if (idleMs !== undefined) settings.idleMs = idleMs;
  if (storage !== undefined) settings.storage = storage;
  if (loud !== undefined) debug = Boolean(loud);
  if (asked === false || (gpc && navigator.globalPrivacyControl)) allowed = false;
  const start = () => {
    outboxFor(endpoint, { storage, ...sending });
    return watch(container, endpoint, { looks: clocks(), safely, warn, vote, retract, check: debug ? check : undefined });
  };
  waiting.set(start, allowed ? start() : undefined);
  return safely(() => {
    waiting.get(start)?.();
    waiting.delete(start);
    outboxes.get(new URL(endpoint, document.baseURI).href)?.send();
  });
}, () => {});

const KNOWN = "handle chunk action for value other query compare answer".split(" ");

/** In debug mode: attributes with a slip of the pen in them. */
function check(element) {
  for (const name of element.getAttributeNames?.() ?? []) {
    const [, rest] = name.match(/^data-ragwheel-?(.*)$/) ?? [];
    if (rest !== undefined && !KNOWN.includes(rest)) {
      warn(name, `there is no attribute ${name}; known: data-ragwheel-${KNOWN.join(", -")}`, element);
    }
  }
}

/** The clocks of the document, and what starts and stops them all. */
function clocks() {
  if (looks) return looks;
  looks = newLooks(({ endpoint, handle, chunk }, kind, value) => signal(handle, kind, { chunk, value, endpoint }), settings);
  let left = false; // pagehide comes before the visibilitychange that goes with it
  const listen = (target, types, run) => {
    for (const type of types.split(" ")) target.addEventListener(type, safely(run), { capture: true, passive: true });
  };
  listen(document, "pointermove pointerdown keydown wheel scroll touchmove", looks.active);
  listen(document, "visibilitychange", () => {
    looks.refresh(left);
    if (document.visibilityState === "hidden" && !left) {
      looks.reportAll();
      for (const box of outboxes.values()) box.send();
    }
  });
  listen(globalThis, "pageshow", (event) => {
    looks.refresh((left = false));
    if (event.persisted) for (const box of outboxes.values()) box.send(); // back from the browser's memory
  });
  listen(globalThis, "pagehide", () => {
    looks.refresh((left = true));
    looks.reportAll();
    for (const box of outboxes.values()) box.leave();
  });
  return looks;
}
