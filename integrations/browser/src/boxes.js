/** Cards that a simple comparison of areas cannot judge: larger than what shows them, or without a box of their own. */

const AGAIN_MS = 100; // a card larger than what shows it is measured anew this often while the page scrolls

/**
 * `watched(card)`: the card is still watched. `show(card, visible)` says whether it is in view. `seen` is the observer of
 * the cards, `options` are what makes another one like it. `signal` ends everything.
 */
export function newBoxes({ watched, show, seen, newObserver, safely, signal }) {
  const all = new Map(); // card -> its parts: observed element -> { area, inView, most }
  const partOf = new Map(); // part -> its card
  const coarse = new Set(); // observed elements in view that are larger than what shows them
  const pieces = newObserver((entry) => measure(partOf.get(entry.target), entry));
  let measuring;

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

  function measure(card, entry) {
    const { target, isIntersecting, boundingClientRect: box, intersectionRect: part } = entry;
    if (!watched(card) || !target.isConnected) return; // the next scan sees to what was removed
    if (!all.has(card)) all.set(card, new Map());
    const parts = all.get(card);
    const area = box.width * box.height;
    const inView = isIntersecting ? part.width * part.height : 0;
    const most = inView && inView < area * 0.98 ? shownAtMost(entry) : area;
    if (inView && most < area) coarse.add(target);
    else coarse.delete(target);
    parts.set(target, { area, inView, most });
    if (!area) lookInside(card, target);
    const counted = parts.get(card)?.area ? [parts.get(card)] : [...parts.values()];
    const sum = (name) => counted.reduce((total, each) => total + each[name], 0);
    show(card, sum("inView") > 0 && sum("inView") >= sum("most") * 0.49);
  }

  /** A card without a box of its own (`display: contents`, floats) is seen by what it holds. */
  function lookInside(card, target = card) {
    const { display } = getComputedStyle(target);
    if (display === "none" || (display !== "contents" && !target.scrollHeight)) return;
    const holds = [...target.children];
    for (const element of holds.length || target !== card ? holds : [target.parentElement]) {
      if (!element || partOf.has(element) || watched(element)) continue;
      partOf.set(element, card);
      pieces.observe(element);
    }
  }

  function forgetPart(element) {
    partOf.delete(element);
    coarse.delete(element);
    pieces.unobserve(element);
  }

  /** Observing anew makes the browser measure. */
  function again(element) {
    const observer = watched(element) ? seen : pieces;
    observer.unobserve(element);
    observer.observe(element);
  }

  /** Thresholds are too coarse for large boxes. */
  const moved = safely(() => {
    measuring ??= coarse.size ? setTimeout(safely(() => {
      measuring = undefined;
      coarse.forEach(again);
    }), AGAIN_MS) : undefined;
  });
  for (const type of ["scroll", "resize"]) addEventListener(type, moved, { capture: true, passive: true, signal });
  signal.addEventListener("abort", () => pieces.disconnect());

  return {
    measure,
    again,

    /** What a card without a box holds has changed. */
    changed(card) {
      if (all.has(card) && !all.get(card).get(card)?.area) lookInside(card);
    },

    /** Parts that left the page make room for those that came. */
    scan() {
      for (const [card, parts] of all) {
        for (const part of parts.keys()) {
          if (part === card || part.isConnected) continue;
          parts.delete(part);
          forgetPart(part);
          lookInside(card);
        }
      }
    },

    forget(card) {
      coarse.delete(card);
      for (const part of all.get(card)?.keys() ?? []) forgetPart(part);
      all.delete(card);
    },
  };
}
