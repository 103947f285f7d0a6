// Attaches the beacon, and measures in another way what it measures: frame by frame, on every card.
import * as beacon from "/beacon/ragwheel.js";

const options = JSON.parse(document.body.dataset.options);
window.beacon = beacon;
window.detach = beacon.attach(document, options);

/** Seconds that a card was at least half in view, in frames that the browser really drew. */
window.inView = {};
let last = performance.now();
requestAnimationFrame(function frame(now) {
  const passed = now - last < 500 ? now - last : 0; // a hidden page draws no frames
  last = now;
  for (const card of document.querySelectorAll("[data-ragwheel-chunk]")) {
    const { top, bottom, height } = card.getBoundingClientRect();
    const inside = Math.min(bottom, innerHeight) - Math.max(top, 0);
    const id = card.dataset.ragwheelChunk;
    if (inside >= height / 2 || inside >= innerHeight / 2) window.inView[id] = (window.inView[id] ?? 0) + passed / 1000;
  }
  requestAnimationFrame(frame);
});
