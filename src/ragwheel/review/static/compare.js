// Two rankings side by side. Questions are fetched ahead, so that a key shows the next one at once; answers go
// through the outbox.

import { Outbox, post, trouble } from "./outbox.js";

const $ = (id) => document.getElementById(id);
const { rater, first, second } = $("compare").dataset;
const AHEAD = 6;
const LEAST = 4;

const state = {
  ahead: [], // questions to come
  trail: [], // {card, value} that were answered, the oldest first; value null: skipped
  skipped: new Set(), // ids
  fetching: false,
  exhausted: false,
  answered: false, // whether anything was answered in this visit
};

const outbox = new Outbox({
  path: "/api/prefer",
  prefix: "ragwheel-compare:",
  changed(pending, error) {
    $("saved").textContent = pending ? `${pending} not saved yet` : state.answered ? "all saved" : "";
    notice(error ? trouble(pending, error) : null);
  },
  confirmed: progressed,
  refused(event, reason) {
    notice(`Not kept (${event.query}): ${reason}`);
  },
});

function notice(text) {
  $("notice").hidden = !text;
  if ($("notice").textContent !== (text || "")) $("notice").textContent = text || "";
}

function progressed(answer) {
  if (answer.whole === undefined) return;
  const { left, whole, tally } = answer;
  $("bar").max = Math.max(whole, 1);
  $("bar").value = whole - left;
  $("count").textContent = `${(whole - left).toLocaleString("en")} of ${whole.toLocaleString("en")} questions`;
  if (tally) $("tally").innerHTML = tally;
}

function show() {
  const card = state.ahead[0];
  $("answer").hidden = !card;
  $("question-label").hidden = !card;
  if (!card) {
    $("card").replaceChildren();
    $("question").textContent = !state.exhausted
      ? "Fetching the next question…"
      : state.skipped.size
        ? "Only the questions that you skipped are left. Reload the page to see them again."
        : "You have compared every question on which the two systems differ.";
    $("live").textContent = $("question").textContent;
    return;
  }
  $("question").innerHTML = card.question;
  $("card").innerHTML = card.html;
  $("live").textContent = `Question: ${card.query}`;
  window.scrollTo(0, matchMedia("(max-width: 34rem)").matches ? $("compare").offsetTop : 0);
  $("card").focus({ preventScroll: true });
}

async function refill() {
  if (state.fetching || state.ahead.length >= LEAST) return;
  state.fetching = true;
  let again = 0;
  try {
    const waiting = outbox.pending().map((event) => event.card);
    const held = [...state.ahead.map((card) => card.id), ...state.skipped, ...waiting];
    const answer = await post("/api/compare", { rater, first, second, held, n: AHEAD });
    progressed(answer);
    const empty = !state.ahead.length;
    const taken = new Set([...state.ahead, ...state.trail.map((entry) => entry.card)].map((card) => card.id));
    state.ahead.push(...answer.cards.filter((card) => !taken.has(card.id)));
    state.exhausted = !answer.cards.length;
    if (empty) show();
  } catch (error) {
    again = 2000;
    if (!state.ahead.length) notice(`The next questions cannot be fetched: ${error.message}. Trying again.`);
  } finally {
    state.fetching = false;
  }
  if (again) setTimeout(refill, again);
}

function send(card, value) {
  state.answered = true;
  outbox.add({ rater, first, second, card: card.id, query: card.query, value });
}

function answer(key) {
  const card = state.ahead.shift();
  if (!card) return;
  performance.mark("key");
  const value = key === "s" ? null : card.values[key];
  state.trail.push({ card, value });
  if (value === null) state.skipped.add(card.id);
  show();
  performance.measure("next card", "key");
  if (value !== null) send(card, value);
  refill();
}

function undo() {
  const entry = state.trail.pop();
  if (!entry) return notice("Nothing to undo.");
  const { card, value } = entry;
  state.skipped.delete(card.id);
  state.ahead = [card, ...state.ahead.filter((other) => other.id !== card.id)];
  show();
  if (value !== null) send(card, null);
}

function act(key) {
  if (key === "u") undo();
  else if (["a", "b", "t", "s"].includes(key)) answer(key);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select")) return;
  act(event.key.toLowerCase());
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-key]");
  if (button) act(button.dataset.key);
});

async function start() {
  outbox.flush();
  try {
    const found = await post("/api/compare", { rater, first, second, held: [], n: AHEAD, recent: true });
    state.trail.push(...found.recent.map(({ value, ...card }) => ({ card, value })));
  } catch {
    // without the last answers of an earlier sitting undo begins with this one's
  }
  await refill();
}

start();
