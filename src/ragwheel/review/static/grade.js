// The room where chunks are graded. Cards are fetched ahead, so that a key shows the next one at once;
// answers go through the outbox.

import { Outbox, post, trouble } from "./outbox.js";

const $ = (id) => document.getElementById(id);
const rater = $("grading").dataset.rater;
const AHEAD = 12;
const LEAST = 7;

const state = {
  ahead: [], // cards to come
  later: [], // put off with l
  trail: [], // {card, said} that were handled, the oldest first
  acts: [], // {entry, before} for undo
  place: 0, // of the card on screen in the trail; its length: the first card ahead
  fetching: false,
  timer: 0,
  exhausted: false,
  shown: null, // the group on screen
  progress: { done: 0, whole: 0, stage: "waiting", ready: false, problem: null, order: 0 },
};

const outbox = new Outbox({
  path: "/api/say",
  prefix: "ragwheel-review:",
  changed(pending, error) {
    $("saved").textContent = pending ? `${pending} not saved yet` : state.acts.length ? "all saved" : "";
    notice(error ? trouble(pending, error) : null);
  },
  confirmed(answer) {
    progressed(answer);
    // what others said of the card on screen may have waited for this rater's own answer
    const entry = state.trail[state.place];
    if (entry && entry.said.action !== "later" && !$("reveal").firstChild) reveal(entry.card);
  },
  refused(event, reason) {
    notice(`Not kept (chunk ${event.chunk}): ${reason}`);
  },
});

function notice(text) {
  $("notice").hidden = !text;
  if ($("notice").textContent !== (text || "")) $("notice").textContent = text || "";
}

function current() {
  return state.place < state.trail.length ? state.trail[state.place].card : state.ahead[0];
}

function progressed(found) {
  if (found.whole === undefined) return;
  const { order } = state.progress;
  for (const name of Object.keys(state.progress)) state.progress[name] = found[name];
  if (order && order !== found.order) reordered();
  const { done, whole, ready, stage, problem } = state.progress;
  $("bar").max = Math.max(whole, 1);
  if (ready) $("bar").value = done;
  else $("bar").removeAttribute("value"); // how many pairs there are is not known yet
  $("count").textContent = ready
    ? `${done.toLocaleString("en")} of ${whole.toLocaleString("en")} pairs`
    : problem || `In the background: ${stage}. Then what tells most comes first.`;
}

// Another order was computed: the chunks of the question on screen stay, the rest is fetched again.
function reordered() {
  const group = state.shown;
  const shown = state.place === state.trail.length ? state.ahead[0] : null;
  state.ahead = state.ahead.filter((card) => card === shown || card.group === group || card.pinned);
}

function show({ focus = true } = {}) {
  const card = current();
  $("reveal").replaceChildren();
  $("neighbours").replaceChildren();
  $("answer").hidden = !card;
  if (!card) return showNone();
  const changed = state.shown !== card.group;
  $("question").innerHTML = card.question;
  $("question-label").textContent = changed ? "New question" : "Question";
  $("question-box").classList.toggle("changed", changed);
  $("place").textContent = `chunk ${card.number} of ${card.of}`;
  $("card").innerHTML = card.html;
  const said = state.place < state.trail.length ? state.trail[state.place].said : null;
  for (const button of document.querySelectorAll("#answer button[data-key]")) {
    const key = button.dataset.key;
    const mine =
      said && ((said.action === "grade" && key === String(said.grade)) ||
        (said.action === "cannot_tell" && key === "x") || (said.action === "skip" && key === "s"));
    button.setAttribute("aria-pressed", mine ? "true" : "false");
  }
  $("note").value = (said && said.note) || "";
  $("reason-code").value = (said && said.reason) || "";
  if (said && said.action !== "later") reveal(card);
  $("live").textContent = `${changed ? `New question: ${card.query}. ` : ""}Chunk ${card.number} of ${card.of}.`;
  if (state.shown !== null || focus) {
    window.scrollTo(0, matchMedia("(max-width: 34rem)").matches ? $("grading").offsetTop : 0);
    $("card").focus({ preventScroll: true });
  }
  state.shown = card.group;
}

function showNone() {
  const { ready, stage, problem, whole } = state.progress;
  state.shown = null;
  $("card").replaceChildren();
  $("place").textContent = "";
  $("question-label").textContent = "";
  $("question-box").classList.remove("changed");
  if (problem && !whole) $("question").textContent = problem;
  else if (!ready) $("question").textContent = `Reading the traces (${stage}). The first questions come as soon as that is done.`;
  else if (!state.exhausted) $("question").textContent = "Fetching the next question…";
  else
    $("question").textContent = whole
      ? "No pairs left: you have answered everything there is. More traffic brings more to grade; the next build uses your grades."
      : "There is nothing to grade yet: no chunk was shown to anybody or put in a prompt.";
  $("live").textContent = $("question").textContent;
}

async function reveal(card) {
  if (outbox.pending().some((event) => event.card === card.id)) return; // the server does not know it yet
  try {
    const found = await post("/api/reveal", { rater, query: card.query, source: card.source, chunk: card.chunk });
    if (current() === card) $("reveal").innerHTML = found.html;
  } catch {
    // what others said is no loss; it comes with the next visit
  }
}

function held() {
  const cards = [...state.ahead, ...state.later].map((card) => card.id);
  return [...cards, ...outbox.pending().map((event) => event.card)].filter(Boolean);
}

async function refill() {
  const enough = state.ahead.length >= LEAST;
  if (state.fetching || (enough && (state.progress.ready || state.progress.problem))) return;
  state.fetching = true;
  clearTimeout(state.timer);
  let again = 0;
  try {
    const found = await post("/api/next", { rater, held: held(), n: enough ? 0 : AHEAD });
    progressed(found);
    if (state.ahead.length < LEAST && enough) again = 1; // another order has come
    const empty = !state.ahead.length;
    const mine = new Set([...state.ahead, ...state.later].map((card) => card.id));
    const waiting = new Set(outbox.pending().map((event) => event.card));
    const fresh = found.cards.filter((card) => !mine.has(card.id) && !waiting.has(card.id));
    state.ahead.push(...fresh);
    state.exhausted = found.ready && !enough && !found.cards.length;
    if (!state.ahead.length && state.exhausted && state.later.length) state.ahead = state.later.splice(0);
    if (!found.ready && !found.problem) again = 500; // the order is on its way
    if (empty && state.place === state.trail.length) show({ focus: false });
    if (!outbox.error) notice(null);
  } catch (error) {
    again = 2000;
    if (error.status === 401) notice("This browser is signed out: open the address that ragwheel review prints.");
    else if (!state.ahead.length) notice(`The next chunks cannot be fetched: ${error.message}. Trying again.`);
  } finally {
    state.fetching = false;
  }
  if (again) state.timer = setTimeout(refill, again);
}

function say(card, said) {
  if (said.action === "later") return;
  const { action, grade, note, reason } = said;
  outbox.add({
    rater, card: card.id, action, grade, note, reason,
    query: card.query, source: card.source, chunk: card.chunk, hash: card.hash,
  });
}

function answer(action, grade = null) {
  const card = current();
  if (!card) return;
  performance.mark("key");
  const said = { action, grade, note: $("note").value.trim(), reason: $("reason-code").value };
  let entry = state.trail[state.place];
  if (entry) {
    state.acts.push({ entry, before: entry.said });
    entry.said = said;
    state.place += 1;
  } else {
    state.ahead.shift();
    entry = { card, said };
    state.trail.push(entry);
    state.acts.push({ entry, before: null });
    state.place = state.trail.length;
    if (action === "later") state.later.push(card);
  }
  show();
  performance.measure("next card", "key");
  say(card, said);
  refill();
}

function undo() {
  const act = state.acts.pop();
  if (!act) return notice("Nothing to undo.");
  const { entry, before } = act;
  const { card } = entry;
  if (before) {
    entry.said = before;
    state.place = state.trail.indexOf(entry);
    say(card, before);
  } else {
    const place = state.trail.indexOf(entry);
    state.trail.splice(place, 1);
    state.later = state.later.filter((other) => other.id !== card.id);
    state.ahead = state.ahead.filter((other) => other.id !== card.id);
    state.ahead.unshift(card);
    state.place = state.trail.length;
    if (entry.said.action !== "later") say(card, { action: "undo" });
  }
  show();
  $("note").value = entry.said.note || "";
  $("reason-code").value = entry.said.reason || "";
}

function move(step) {
  const place = Math.min(Math.max(state.place + step, 0), state.trail.length);
  if (place === state.place) return;
  state.place = place;
  show();
}

function unfold() {
  const text = document.querySelector("#card .text");
  if (text) text.classList.toggle("folded");
}

async function neighbours() {
  const card = current();
  if (!card) return;
  if ($("neighbours").firstChild) return $("neighbours").replaceChildren();
  try {
    const found = await post("/api/neighbours", { source: card.source, chunk: card.chunk, query: card.query });
    if (current() === card) $("neighbours").innerHTML = found.html;
  } catch (error) {
    notice(`The neighbours cannot be fetched: ${error.message}`);
  }
}

function keepNote() {
  const entry = state.trail[state.place];
  if (entry && entry.said.action !== "later") {
    const said = { ...entry.said, note: $("note").value.trim(), reason: $("reason-code").value };
    if (said.note !== (entry.said.note || "") || said.reason !== (entry.said.reason || "")) {
      state.acts.push({ entry, before: entry.said });
      entry.said = said;
      say(entry.card, said);
    }
  }
  $("card").focus({ preventScroll: true });
}

const KEYS = {
  x: () => answer("cannot_tell"),
  s: () => answer("skip"),
  l: () => state.place === state.trail.length && answer("later"),
  u: undo,
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
  f: unfold,
  n: neighbours,
  g: () => ($("guideline").open = !$("guideline").open),
  w: () => document.querySelector("#reveal a")?.click(),
  "?": () => $("help").showModal(),
};
for (const grade of [0, 1, 2, 3, 4, 5]) KEYS[grade] = () => answer("grade", grade);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const field = event.target.closest("input, textarea, select");
  if (field) {
    if (event.key === "Escape" || (event.key === "Enter" && field.id === "note")) {
      event.preventDefault();
      if (field.id === "note" || field.id === "reason-code") keepNote();
      else field.blur();
    }
    return;
  }
  const onCard = event.target === document.body || event.target === $("card");
  if (event.key === "Tab" && !event.shiftKey && onCard && !$("answer").hidden) {
    event.preventDefault();
    $("note").focus();
    return;
  }
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) act();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-key]");
  if (button) KEYS[button.dataset.key]();
});

$("guideline-edit").addEventListener("click", () => {
  $("guideline-new").value = $("guideline-text").textContent;
  $("guideline-form").hidden = false;
  $("guideline-new").focus();
});
$("guideline-cancel").addEventListener("click", () => ($("guideline-form").hidden = true));
$("guideline-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("guideline-new").value;
  try {
    const found = await post("/api/guideline", { rater, text, base: $("guideline-form").dataset.base });
    $("guideline-form").dataset.base = found.base;
    if (found.conflict !== undefined) {
      $("guideline-text").textContent = found.conflict;
      notice(`${found.by} changed the guideline meanwhile: theirs is above yours. Keep again to replace it.`);
      return;
    }
    $("guideline-text").textContent = text;
    $("guideline-by").textContent = `by ${found.by}`;
    $("guideline-form").hidden = true;
    $("card").focus({ preventScroll: true });
  } catch (error) {
    notice(`The guideline was not kept: ${error.message}`);
  }
});
if (matchMedia("(max-width: 60rem)").matches) $("guideline").open = false;

async function start() {
  outbox.flush();
  try {
    const found = await post("/api/last", { rater });
    for (const { action, grade, note, reason, ...card } of found.cards) {
      const entry = { card, said: { action, grade, note, reason } };
      state.trail.push(entry);
      state.acts.push({ entry, before: null });
    }
  } catch {
    // without the last answers of an earlier sitting undo begins with this one's
  }
  state.place = state.trail.length;
  if ($("grading").dataset.only) {
    try {
      const { cards } = await post("/api/again", { rater, only: $("grading").dataset.only });
      state.ahead.push(...cards.map((card) => ({ ...card, pinned: true })));
    } catch (error) {
      notice(`The disagreements cannot be fetched: ${error.message}`);
    }
  }
  show({ focus: false });
  await refill();
}

start();
