/** What the beacon sees: cards in outlines, and a list of signals with the collector's verdicts. */
import { observe } from "./ragwheel.js";

const CARDS = `
[data-ragwheel-chunk] { outline: 2px dashed #3b82f6 !important; outline-offset: -2px; }
[data-ragwheel-action] { outline: 1px dotted #d97706 !important; }`;
const PANEL = `
:host { position: fixed; inset: auto 8px 8px auto; z-index: 2147483647; max-width: min(90vw, 420px); font: 12px/1.4 ui-monospace, monospace; }
details { background: #111827; color: #f9fafb; border-radius: 6px; padding: 6px 10px; opacity: .94; }
ol { list-style: none; margin: 6px 0 0; padding: 0; max-height: 40vh; overflow: auto; }
li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.refused, .warned { color: #fca5a5; white-space: normal; }
.kept { color: #86efac; }`;

function sheet(text) {
  const styles = new CSSStyleSheet(); // allowed by a strict Content Security Policy
  styles.replaceSync(text);
  return styles;
}

/** Show the overlay; returns what removes it. */
export function overlay() {
  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "closed" });
  const panel = root.appendChild(document.createElement("details"));
  const title = panel.appendChild(document.createElement("summary"));
  const list = panel.appendChild(document.createElement("ol"));
  const lines = new Map(); // event id -> its line
  const cards = sheet(CARDS);
  root.adoptedStyleSheets = [sheet(PANEL)];
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, cards];
  document.documentElement.append(host);
  panel.open = true;
  const counts = { signal: 0, kept: 0, refused: 0, warned: 0 };

  function line(text, cls) {
    const item = document.createElement("li");
    item.textContent = text;
    item.className = cls;
    list.prepend(item);
    while (list.childElementCount > 100) list.lastChild.remove();
    return item;
  }

  const stop = observe((event) => {
    if (event.type === "signal") {
      counts.signal++;
      const about = [event.kind, event.chunk ?? "(answer)", event.value, event.other && `→ ${event.other}`];
      lines.set(event.event_id, line(`… ${about.filter((part) => part !== undefined).join(" ")}`, "waiting"));
    } else if (event.type === "verdict") {
      counts[event.status] = (counts[event.status] ?? 0) + 1;
      const item = lines.get(event.event_id);
      lines.delete(event.event_id);
      if (item) {
        item.textContent = `${event.status}${event.reason && event.reason !== "kept" ? ` (${event.reason})` : ""}: ${item.textContent.slice(2)}`;
        item.className = event.status;
      }
    } else if (event.type === "warned") {
      counts.warned++;
      line(event.message, "warned");
    }
    title.textContent = `ragwheel: ${counts.signal} signals, ${counts.kept} kept, ${counts.refused} refused, ${counts.warned} warnings`;
  });
  title.textContent = "ragwheel: no signals yet";
  return () => {
    stop();
    host.remove();
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== cards);
  };
}
