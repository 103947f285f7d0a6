// npm run types: what people write compiles, and what they must not write does not.
import { attach, closed, consent, flush, observe, opened, retract, signal, stats, vote } from "../src/ragwheel.js";

const detach: () => void = attach();
attach(document.body, { endpoint: "https://signals.example/v1/signals", batchMs: 500, idleMs: 30_000, storage: false });
attach(document.body.attachShadow({ mode: "open" }));
const taken: boolean = signal("u1.x.y", "rating", { chunk: 7, value: 4, at: new Date() });
signal("u1.x.y", "shared");
flush().then((all: boolean) => stats().kept === 1 && all && taken);
detach();
vote("u1.x.y", "thumbs_down", { comment: "From 2019", reason: "outdated", eventId: "e1" });
retract("u1.x.y", "thumbs_down", { chunk: 7 });
opened("u1.x.y", 7);
closed();
consent(false);
observe((event) => event.type === "verdict" && console.log(event.status))();

// @ts-expect-error A handle is needed
signal();
// @ts-expect-error The chunk's id, not its element
signal("u1.x.y", "click", { chunk: document.body });
// @ts-expect-error The endpoint is an option
attach(document, "/v1/signals");
