/**
 * The one tag: `<script type="module" src="/ragwheel/auto.js"></script>` watches the whole document.
 *
 * Signals go to `v1/signals` beside this file, or to `data-endpoint`. Options are attributes of the tag: data-batch-ms,
 * data-idle-ms, data-storage="off", data-credentials, data-consent="ask", data-gpc, data-debug. A page without
 * modules of its own finds the functions in `window.ragwheel`.
 */
import "./feedback.js";
import * as ragwheel from "./ragwheel.js";

const own = import.meta.url;
const { dataset = {} } = [...document.querySelectorAll("script[src]")].find((tag) => tag.src === own) ?? {};
const switchedOn = (value) => value !== undefined && value !== "off" && value !== "false";
const number = (value) => (Number(value) > 0 ? Number(value) : undefined);

const options = {
  endpoint: new URL(dataset.endpoint ?? "v1/signals", dataset.endpoint ? document.baseURI : own).href,
  batchMs: number(dataset.batchMs),
  idleMs: number(dataset.idleMs),
  storage: dataset.storage === undefined || switchedOn(dataset.storage),
  credentials: dataset.credentials,
  consent: dataset.consent === "ask" ? false : undefined,
  gpc: switchedOn(dataset.gpc),
  debug: switchedOn(dataset.debug),
};

globalThis.ragwheel ??= ragwheel;
if (options.debug) import("./overlay.js").then(({ overlay }) => overlay()).catch((error) => console.warn("ragwheel:", error));
ragwheel.attach(document, options);
