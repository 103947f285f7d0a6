/** Debug mode: what is wrong with the page or the collector, in words, once for each cause. */

const KNOWN = "handle chunk action for value other query compare answer".split(" ");
const WORDS = {
  handle: (kind) => kind
    ? `“${kind}” has no data-ragwheel-handle at or above it`
    : "a card has no data-ragwheel-handle at or above it",
  chunk: () => "a card has no chunk id",
  attribute: (name) => `there is no attribute ${name}; known: data-ragwheel-${KNOWN.join(", -")}`,
  refused: (reason) => `a signal was refused: ${reason}`,
  storage: (error) => `localStorage is full or forbidden (${error}): unsent signals wait in memory only`,
  network: ([url, error]) => `${url} cannot be reached: ${error}`,
  status: ([url, status, error]) =>
    `${url} answers ${status}: ${error ?? "no collector answers there; is the endpoint right, and is the person logged in?"}`,
  part: (error) => `a part of the beacon could not be loaded: ${error}`,
};
const SEVERAL = ["attribute", "refused"]; // causes that differ in their detail

/** Look for slips of the pen in the page, now and later; returns an observer of what the beacon tells. */
export function newDebug(tell) {
  const causes = new Set();

  function observe({ type, code, status, reason, detail = reason, element }) {
    if (type === "verdict" && status === "refused") code = status;
    else if (type !== "warning") return;
    const differs = code === "status" ? detail[1] : SEVERAL.includes(code) ? detail : "";
    const cause = `${code} ${differs}`;
    if (causes.has(cause)) return;
    causes.add(cause);
    const message = WORDS[code](detail);
    console.warn(`ragwheel: ${message}`, element ?? "");
    tell({ type: "warned", code, message, element });
  }

  function check(node) {
    for (const name of node.getAttributeNames?.() ?? []) {
      const [, rest] = name.match(/^data-ragwheel-?(.*)$/) ?? [];
      if (rest !== undefined && !KNOWN.includes(rest)) observe({ type: "warning", code: "attribute", detail: name, element: node });
    }
    node.childNodes.forEach(check);
    if (node.shadowRoot) check(node.shadowRoot);
  }

  new MutationObserver((records) => {
    for (const { addedNodes } of records) addedNodes.forEach(check);
  }).observe(document, { subtree: true, childList: true });
  check(document);
  return observe;
}
