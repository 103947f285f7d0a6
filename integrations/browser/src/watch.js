/** Watching a page: which cards there are, how much of each is in view, and what people do. */
import { newActions } from "./actions.js";
import { answerOf, copiedCards } from "./copies.js";
import { attribute, cardOf, chunkOf, closest, handleOf, named } from "./page.js";

const SCAN_MS = 60; // changes of a page are looked at together
const AGAIN_MS = 100; // a card larger than what shows it is measured anew this often while the page scrolls
const STEPS = Array.from({ length: 51 }, (_, step) => step / 50);
const ATTRIBUTES = ["data-ragwheel-handle", "data-ragwheel-chunk"];

const claimed = new WeakSet(); // events and cards that an `attach` has: a second one leaves them alone
const claim = (thing) => !claimed.has(thing) && claimed.add(thing);

/** Watch `root` for `core`, the functions of core.js; returns what stops it. */
export function watch(root, endpoint, core) {
  const { looks, safely, warn } = core;
  const cards = new Map(); // element with data-ragwheel-chunk -> { look, parts }
  const partOf = new Map(); // observed element -> its card: the card itself, or what a box-less card holds
  const coarse = new Set(); // observed elements in view that are larger than what shows them
  const late = new Set(); // custom elements that have no shadow root yet
  const pending = new Set(); // nodes that came or changed since the last scan
  const roots = new Set();
  const off = new AbortController();
  let scanning, changedAt, measuring;

  const listen = (target, types, run) => {
    for (const type of types.split(" ")) {
      target.addEventListener(type, safely(run), { capture: true, passive: true, signal: off.signal });
    }
  };

  // How much of each card is in view

  const seen = globalThis.IntersectionObserver && new IntersectionObserver(
    safely((entries) => {
      for (const entry of entries) safely(measure)(entry);
    }),
    { threshold: STEPS },
  );

  /** The largest part of a box that its scroll containers and the window can show at once. */
  function shownAtMost({ target, boundingClientRect: box, rootBounds }) {
    let width = Math.min(box.width, rootBounds?.width ?? innerWidth);
    let height = Math.min(box.height, rootBounds?.height ?? innerHeight);
    for (let node = target.parentElement; node; node = node.parentElement ?? node.getRootNode().host) {
      const { overflowX, overflowY } = getComputedStyle(node);
      if (overflowX !== "visible" && node.clientWidth) width = Math.min(width, node.clientWidth);
      if (overflowY !== "visible" && node.clientHeight) height = Math.min(height, node.clientHeight);
    }
    return width * height;
  }

  function measure(entry) {
    const { target, isIntersecting, boundingClientRect: box, intersectionRect: part } = entry;
    const card = partOf.get(target);
    const state = cards.get(card);
    if (!state || !target.isConnected) return; // the next scan sees to what was removed
    const area = box.width * box.height;
    const inView = isIntersecting ? part.width * part.height : 0;
    const most = inView && inView < area * 0.98 ? shownAtMost(entry) : area;
    if (inView && most < area) coarse.add(target);
    else coarse.delete(target);
    state.parts.set(target, { area, inView, most });
    if (!area) lookInside(card, target);
    const parts = state.parts.get(card)?.area ? [state.parts.get(card)] : [...state.parts.values()];
    const sum = (name) => parts.reduce((total, part) => total + part[name], 0);
    looks.show(state.look, card, sum("inView") > 0 && sum("inView") >= sum("most") * 0.49);
  }

  /** A card without a box of its own (`display: contents`, floats) is seen by what it holds. */
  function lookInside(card, target) {
    const { display } = getComputedStyle(target);
    if (display === "none" || (display !== "contents" && !target.scrollHeight)) return;
    const holds = [...target.children];
    for (const element of holds.length || target !== card ? holds : [target.parentElement]) observe(card, element);
  }

  function observe(card, element) {
    if (!element || partOf.has(element)) return;
    partOf.set(element, card);
    seen?.observe(element);
  }

  function forget(element) {
    partOf.delete(element);
    coarse.delete(element);
    seen?.unobserve(element);
  }

  /** Thresholds are too coarse for large boxes: observing them anew makes the browser measure. */
  const again = () =>
    (measuring ??= coarse.size && setTimeout(safely(() => {
      measuring = undefined;
      for (const element of coarse) {
        seen.unobserve(element);
        seen.observe(element);
      }
    }), AGAIN_MS)) || (measuring = undefined);

  // Which cards there are

  function inside(card) {
    for (let node = card; node; node = node.getRootNode().host) if (root.contains(node)) return true;
    return false;
  }

  function scan() {
    scanning = undefined;
    const nodes = [...pending];
    pending.clear();
    for (const [card, state] of cards) {
      if (!card.isConnected || !inside(card)) drop(card, changedAt);
      else for (const part of state.parts.keys()) {
        if (part !== card && !part.isConnected) {
          state.parts.delete(part);
          forget(part);
          lookInside(card, card);
        }
      }
    }
    for (const host of late) if (host.shadowRoot || !host.isConnected) late.delete(host) && adopt(host.shadowRoot);
    for (const node of nodes) if (node.isConnected || node === root) enter(node);
  }

  /** Look at everything at and below a node. */
  function enter(node) {
    if (!node.querySelectorAll) return;
    if (node.matches?.(named("chunk"))) consider(node);
    for (const card of node.querySelectorAll(named("chunk"))) consider(card);
    const over = cards.get(node.parentElement && cardOf(node.parentElement));
    if (over && !over.parts.get(cardOf(node))?.area) lookInside(cardOf(node), cardOf(node));
    for (const element of [node, ...node.querySelectorAll("*")]) {
      if (element.shadowRoot) adopt(element.shadowRoot);
      else if (element.localName?.includes("-") && !late.has(element)) {
        late.add(element);
        customElements.whenDefined(element.localName).then(() => pend(element), () => {});
      }
      core.check?.(element);
    }
  }

  function consider(card) {
    const handle = handleOf(card);
    const chunk = attribute(card, "chunk");
    const former = cards.get(card);
    if (former?.look.handle === handle && former?.look.chunk === chunk) return;
    if (former) drop(card);
    if (!handle || !chunk) {
      return warn(handle ? "chunk" : "handle", `a card has no ${handle ? "chunk id" : "data-ragwheel-handle at or above it"}`, card);
    }
    if (!claim(card)) return;
    const look = looks.of(endpoint, handle, chunk);
    cards.set(card, { look, parts: new Map() });
    looks.presume(look, card);
    observe(card, card);
  }

  function drop(card, removed) {
    const { look, parts } = cards.get(card);
    cards.delete(card);
    claimed.delete(card);
    forget(card);
    for (const part of parts.keys()) forget(part);
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
      if (type === "attributes" || !addedNodes.length) pend(type === "attributes" ? target : document.createComment(""));
      for (const node of addedNodes) pend(node);
    }
  }));

  /** Watch a tree: the container, and every open shadow root in it. */
  function adopt(tree) {
    if (!tree || roots.has(tree)) return;
    roots.add(tree);
    changes.observe(tree, { subtree: true, childList: true, attributes: true, attributeFilter: ATTRIBUTES });
    listen(tree, "submit change", used); // these do not leave a shadow root
    if (tree !== root) enter(tree);
  }

  // What people do. Listening on the way down: before the app's own handlers, which may remove the card.

  const say = (handle, kind, about) => {
    if (!handle) warn("handle", `“${kind}” has no data-ragwheel-handle at or above it`);
    core.vote(handle, kind, { ...about, endpoint });
  };
  const retract = (handle, kind, chunk) => core.retract(handle, kind, { chunk, endpoint });
  const actions = newActions(say, retract, safely);

  function used(event) {
    const [target] = event.composedPath();
    const by = closest(target, `${named("action")}, a[href]`);
    const labels = event.type === "change" ? [...(target.labels ?? [])] : [];
    const action = closest(target, named("action")) ?? labels.find((label) => label.matches(named("action")));
    if (!(by ?? action) || !claim(event)) return;
    // A change belongs to the action around its field, whatever link lies between
    const acting = event.type === "change" || by === action ? action : undefined;
    if (acting) actions.act(acting, event);
    else if (by && (event.type === "click" || event.button === 1)) follow(by);
    const look = cards.get(cardOf(target))?.look;
    if (look && acting && attribute(acting, "action") === "click" && event.type === "click") looks.follow(look);
  }

  function follow(link) {
    const chunk = chunkOf(link);
    if (chunk === undefined) return;
    say(handleOf(link), "click", { chunk });
    looks.follow(looks.of(endpoint, handleOf(link), chunk));
  }

  listen(root, "click auxclick", used);
  listen(root, "pointerdown keydown", (event) => actions.press(event.composedPath()[0]));
  listen(root, "copy", (event) => {
    if (!claim(event)) return;
    const from = copiedCards(root, event.composedPath()[0]);
    if (from === null && answerOf()) say(answerOf(), "copy", {});
    for (const card of from ?? []) say(handleOf(card), "copy", { chunk: attribute(card, "chunk") });
  });
  listen(root, "click pointermove", (event) => {
    for (const node of event.composedPath()) if (node instanceof ShadowRoot && inside(node.host)) adopt(node);
  });
  listen(globalThis, "scroll resize", again);
  listen(globalThis, "pagehide", () => actions.finish());

  adopt(root);
  enter(root);

  return safely(() => {
    if (off.signal.aborted) return;
    actions.finish();
    off.abort();
    changes.disconnect();
    clearTimeout(scanning);
    clearTimeout(measuring);
    for (const card of [...cards.keys()]) drop(card);
    looks.reportGone();
    seen?.disconnect();
  });
}
