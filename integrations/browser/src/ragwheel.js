/**
 * ragwheel-beacon: what people do with retrieved chunks, sent to a ragwheel collector.
 *
 * Modules without dependencies, used as they are. However often they are loaded into a document, by two bundles
 * or from two addresses, the first copy does the work: nothing is counted twice. README.md lists the attributes.
 */
import { beacon } from "./core.js";

const KEY = Symbol.for("ragwheel");
const { attach, closed, consent, flush, observe, opened, retract, signal, stats, vote } = globalThis.document
  ? (document[KEY] ??= beacon)
  : beacon;

export { attach, closed, consent, flush, observe, opened, retract, signal, stats, vote };
