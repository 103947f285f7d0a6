/**
 * `<ragwheel-feedback>`: thumbs, reasons, a comment and undo, for an answer or a card.
 *
 * Handle and chunk come from its attributes `handle` and `chunk`, else from the data-ragwheel-* around it.
 * Attributes: `reasons="outdated:Outdated,wrong:Wrong"`, `vote="thumbs_up"` (what was voted before), `no-comment`,
 * and every text: `label-up`, `label-down`, `label-why`, `label-comment`, `label-send`, `label-thanks`.
 */
import { retract, vote } from "./ragwheel.js";

const STYLE = `
:host { display: inline-block; font: var(--ragwheel-font, inherit); color: var(--ragwheel-color, inherit); }
:host([hidden]) { display: none; }
div, form { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
form { margin-top: 6px; }
[hidden] { display: none; }
button, textarea { font: inherit; color: inherit; background: var(--ragwheel-background, transparent);
  border: 1px solid var(--ragwheel-border, currentColor); border-radius: var(--ragwheel-radius, 8px); padding: 4px 10px;
  min-height: 32px; cursor: pointer; }
button[aria-pressed=true] { background: var(--ragwheel-accent, #1d4ed8); color: var(--ragwheel-on-accent, #fff); border-color: transparent; }
:focus-visible { outline: 2px solid var(--ragwheel-accent, #1d4ed8); outline-offset: 2px; }
textarea { flex: 1 1 180px; min-height: 36px; cursor: text; resize: vertical; }
output { font-size: .9em; }
svg { display: block; width: 1.25em; height: 1.25em; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linejoin: round; }
[value=thumbs_down] svg { rotate: 180deg; }`;
const ICON = "M7 10v11M7 10l4.5-8a2.4 2.4 0 0 1 2.4 2.9L13 9h5.8a2 2 0 0 1 2 2.4l-1.6 8a2 2 0 0 1-2 1.6H3V10z"; // a thumb
const SVG = "http://www.w3.org/2000/svg";
const KINDS = ["thumbs_up", "thumbs_down"];
const REASONS = "wrong:Wrong,outdated:Outdated,incomplete:Incomplete,off_topic:Off topic";
const LABELS = { up: "Helpful", down: "Not helpful", why: "Why?", comment: "Comment", send: "Send", thanks: "Thank you" };

const remembered = new Map(); // handle and chunk -> { kind, reason }: a component that is rendered again knows its vote
let styles;

/** The nearest attribute above, also out of shadow roots. */
function around(node, name) {
  for (let at = node; at; at = at.getRootNode().host) {
    const holder = at.closest(`[data-ragwheel-${name}]`);
    if (holder) return holder.getAttribute(`data-ragwheel-${name}`);
  }
}

class RagwheelFeedback extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["handle", "chunk", "vote"];

  connectedCallback() {
    if (!this.root) this.render();
    this.show();
  }

  attributeChangedCallback() {
    if (this.root) this.show();
  }

  get about() {
    const handle = this.getAttribute("handle") ?? around(this, "handle");
    const chunk = this.getAttribute("chunk") ?? (this.hasAttribute("answer") ? undefined : around(this, "chunk"));
    return { handle, chunk };
  }

  get state() {
    const { handle, chunk } = this.about;
    return remembered.get(JSON.stringify([handle, chunk])) ?? { kind: this.getAttribute("vote") ?? undefined };
  }

  label(name) {
    return this.getAttribute(`label-${name}`) ?? LABELS[name];
  }

  make(parent, tag, text, attributes = {}) {
    const element = parent.appendChild(document.createElement(tag));
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  render() {
    this.root = this.attachShadow({ mode: "open", delegatesFocus: true });
    if (!styles) (styles = new CSSStyleSheet()).replaceSync(STYLE);
    this.root.adoptedStyleSheets = [styles];
    const name = this.getAttribute("label") ?? "Feedback";
    const bar = this.make(this.root, "div", "", { role: "group", "aria-label": name, part: "bar" });
    this.thumbs = KINDS.map((kind) => {
      const label = this.label(kind === "thumbs_up" ? "up" : "down");
      const button = this.make(bar, "button", "", { type: "button", "aria-label": label, title: label, part: "thumb", value: kind });
      // drawn, since many machines have no font with thumbs
      const icon = button.appendChild(document.createElementNS(SVG, "svg"));
      icon.setAttribute("viewBox", "0 0 24 24");
      icon.setAttribute("aria-hidden", "true");
      icon.appendChild(document.createElementNS(SVG, "path")).setAttribute("d", ICON);
      button.addEventListener("click", () => this.choose(this.state.kind === kind ? undefined : kind));
      return button;
    });
    this.status = this.make(bar, "output", "", { part: "status" });
    this.form = this.make(this.root, "form", "", { part: "form" });
    const chips = this.make(this.form, "div", "", { role: "group", "aria-label": this.label("why"), part: "reasons" });
    this.chips = (this.getAttribute("reasons") ?? REASONS).split(",").filter((entry) => entry.trim()).map((entry) => {
      const [code, text = code] = entry.split(":");
      const chip = this.make(chips, "button", text.trim(), { type: "button", part: "reason", value: code.trim() });
      chip.addEventListener("click", () => this.choose(this.state.kind, this.state.reason === chip.value ? undefined : chip.value));
      return chip;
    });
    if (this.hasAttribute("no-comment")) return;
    const hint = this.label("comment");
    this.text = this.make(this.form, "textarea", "", { rows: 1, maxlength: 4000, "aria-label": hint, placeholder: hint, part: "comment" });
    this.make(this.form, "button", this.label("send"), { type: "submit", part: "send" });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.choose(this.state.kind, this.state.reason, this.text.value.trim());
      this.text.value = "";
    });
  }

  /** Vote, change the vote, add to it, or without a kind take it back. */
  choose(kind, reason, comment) {
    const { handle, chunk } = this.about;
    const former = this.state;
    const said = comment || (kind === former.kind ? former.comment : undefined);
    if (kind) vote(handle, kind, { chunk, reason, comment: said, replace: true });
    else retract(handle, former.kind, { chunk });
    remembered.set(JSON.stringify([handle, chunk]), { kind, reason, comment: said });
    this.show(comment && this.label("thanks"));
    const detail = { handle, chunk, kind, reason, comment: said };
    this.dispatchEvent(new CustomEvent("ragwheel-feedback", { bubbles: true, composed: true, detail }));
  }

  show(thanks) {
    const { kind, reason } = this.state;
    for (const thumb of this.thumbs) thumb.setAttribute("aria-pressed", thumb.value === kind);
    for (const chip of this.chips) chip.setAttribute("aria-pressed", chip.value === reason);
    this.form.hidden = kind !== "thumbs_down" || Boolean(thanks);
    this.status.textContent = thanks || (kind ? this.label("thanks") : "");
  }
}

if (globalThis.customElements && !customElements.get("ragwheel-feedback")) customElements.define("ragwheel-feedback", RagwheelFeedback);
