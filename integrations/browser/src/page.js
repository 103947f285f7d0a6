/** The attributes of a page: what is about which chunk of which answer. */

export const named = (name) => `[data-ragwheel-${name}]`;
export const attribute = (element, name) => element?.getAttribute?.(`data-ragwheel-${name}`) ?? undefined;

/** The nearest element at or above `node` that matches, also out of shadow roots. */
export function closest(node, selector) {
  const element = node?.closest ? node : node?.parentElement;
  return element && (element.closest(selector) ?? closest(element.getRootNode().host, selector));
}

export const handleOf = (element) => attribute(closest(element, named("handle")), "handle");
export const cardOf = (element) => closest(element, named("chunk"));
export const chunkOf = (element) => attribute(cardOf(element), "chunk") || undefined;

/** Listen to events on their way down. */
export function listen(target, types, run, signal) {
  for (const type of types.split(" ")) target.addEventListener(type, run, { capture: true, passive: true, signal });
}
