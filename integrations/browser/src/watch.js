/** Watching a page: which cards there are, which of them are in view, and what people do. */
import { attribute, cardOf, chunkOf, closest, handleOf, listen, named } from "./page.js";

const SCAN_MS = 60; // changes of a page are looked at together
const STEPS = Array.from({ length: 51 }, (_, step) => step / 50);
const ACTION = named("action");
const ATTRIBUTES = ["data-ragwheel-handle", "data-ragwheel-chunk"];

const claimed = new WeakSet(); // events and cards that an `attach` has: a second one leaves them alone
const claim = (thing) => !claimed.has(thing) && claimed.add(thing);

/** Watch `root` for `core`, the functions of core.js; returns what stops it. */
export function watch(root, endpoint, core) {
  const { looks, safely, lazily, warn } = core;
  const cards = new Map(); // element with data-ragwheel-chunk -> its look
  const names = new Set(); // of custom elements
  const pending = new Set(); // nodes that came or changed since the last scan
  const roots = new Set();
  const off = new AbortController();
  const { signal } = off;
  let scanning, changedAt;

  // What only some pages need, loaded when they need it

  const say = (handle, kind, about) => {
    if (!handle) warn("handle", kind);
    core.vote(handle, kind, { ...about, endpoint });
    if (kind === "click" && about.chunk) looks.follow(looks.of(endpoint, handle, about.chunk)); // it may open now
  };
  const retract = (handle, kind, chunk) => core.retract(handle, kind, { chunk, endpoint });
  const actions = lazily(() => import("./actions.js"), ({ newActions }) => newActions(say, retract, safely));
  const copies = lazily(() => import("./copies.js"));
  const show = (card, visible) => looks.show(cards.get(card), card, visible);
  const boxes = lazily(
    () => import("./boxes.js"),
    ({ newBoxes }) => newBoxes({ watched: (card) => cards.has(card), show, seen, newObserver, safely, signal }),
  );

  // Which cards are in view

  const newObserver = (run) =>
    new IntersectionObserver(safely((entries) => entries.forEach(safely(run))), { threshold: STEPS });
  const seen = newObserver((entry) => {
    const { target, isIntersecting, intersectionRatio, boundingClientRect: { width, height } } = entry;
    if (!cards.has(target) || !target.isConnected) return; // the next scan sees to what was removed
    if (boxes.part) return boxes.part.measure(target, entry);
    if (width * height && (!isIntersecting || intersectionRatio > 0.98)) show(target, isIntersecting);
    else boxes((part) => part.again(target)); // in part, or without a box of its own
  });

  // Which cards there are

  function inside(card) {
    for (let node = card; node; node = node.getRootNode().host) if (root.contains(node)) return true;
  }

  function scan() {
    scanning = undefined;
    if (signal.aborted) return;
    const nodes = [...pending];
    pending.clear();
    for (const card of cards.keys()) if (!inside(card)) drop(card, changedAt);
    boxes.part?.scan();
    for (const node of nodes) if (inside(node)) enter(node);
  }

  /** Look at everything at and below a node. */
  function enter(node) {
    if (!node.querySelectorAll) return;
    const over = cardOf(node.parentElement);
    if (over) boxes.part?.changed(over);
    for (const element of [node, ...node.querySelectorAll("*")]) {
      if (attribute(element, "chunk") !== undefined) consider(element);
      if (attribute(element, "action") !== undefined) actions();
      if (element.shadowRoot) adopt(element.shadowRoot);
      const name = element.localName;
      if (name?.includes("-") && !names.has(name)) {
        names.add(name);
        customElements.whenDefined(name).then(() => roots.forEach(pend), () => {}); // they may have shadow roots now
      }
    }
  }

  function consider(card) {
    const handle = handleOf(card);
    const chunk = chunkOf(card);
    const former = cards.get(card);
    if (former?.handle === handle && former?.chunk === chunk) return;
    if (former) drop(card);
    if (!handle || !chunk) return warn(handle ? "chunk" : "handle", undefined, card);
    if (!claim(card)) return;
    const look = looks.of(endpoint, handle, chunk);
    cards.set(card, look);
    looks.presume(look, card);
    seen.observe(card);
  }

  function drop(card, removed) {
    const look = cards.get(card);
    cards.delete(card);
    claimed.delete(card);
    seen.unobserve(card);
    boxes.part?.forget(card);
    looks.show(look, card, false, removed);
  }

  function pend(node) {
    if (scanning === undefined) {
      changedAt = performance.now();
      scanning = setTimeout(safely(scan), SCAN_MS);
    }
    pending.add(node);
  }

  const changes = new MutationObserver(safely((records) => {
    for (const { type, target, addedNodes } of records) {
      for (const node of type === "attributes" ? [target] : [null, ...addedNodes]) pend(node); // null: something left
    }
  }));

  /** Watch a tree: the container, and every open shadow root in it. */
  function adopt(tree) {
    if (roots.has(tree)) return;
    roots.add(tree);
    changes.observe(tree, { subtree: true, childList: true, attributeFilter: ATTRIBUTES });
    hear(tree, "click auxclick submit change", used); // the last two do not leave a shadow root
    enter(tree);
  }

  // What people do. Listening on the way down: before the app's own handlers, which may remove the card.

  const hear = (target, types, run) => listen(target, types, safely(run), signal);

  function used(event) {
    const [target] = event.composedPath();
    const near = closest(target, `${ACTION}, a[href]`);
    // A change belongs to the action around its field or on its label, whatever link lies between
    const action = event.type === "change"
      ? closest(target, ACTION) ?? [...(target.labels ?? [])].find((label) => label.matches(ACTION))
      : near?.matches(ACTION) && near;
    if (!(near || action) || !claim(event)) return;
    if (action) actions((part) => part.act(action, event, target));
    else if (chunkOf(near) && (event.type === "click" || event.button === 1)) {
      say(handleOf(near), "click", { chunk: chunkOf(near) });
    }
  }

  hear(root, "pointerdown keydown", (event) => {
    const [target] = event.composedPath();
    if (closest(target, ACTION)) actions((part) => part.press(target));
  });
  hear(document, "selectionchange", () => copies());
  hear(root, "copy", (event) => {
    const [target] = event.composedPath();
    if (claim(event)) copies((part) => part.copied(root, target, say));
  });
  hear(root, "click pointermove", (event) => {
    for (const node of event.composedPath()) if (node instanceof ShadowRoot && inside(node.host)) adopt(node);
  });
  hear(globalThis, "pagehide", () => actions.part?.finish());

  adopt(root);

  return safely(() => {
    if (signal.aborted) return;
    actions.part?.finish();
    off.abort();
    changes.disconnect();
    clearTimeout(scanning);
    for (const card of [...cards.keys()]) drop(card);
    looks.reportAll(true);
    seen.disconnect();
  });
}
