// The page. Everything that people do is heard by the beacon through data-ragwheel-* attributes; only what no element
// can say (a question that follows, or replaces, another; a source that is read here; an undo) is told by hand.
import "/beacon/feedback.js";
import { attach, closed, opened, retract, signal, stats } from "/beacon/ragwheel.js";

attach(document, { endpoint: "/ragwheel/v1/signals" });

const $ = (selector, from = document) => from.querySelector(selector);
const conversation = $("#conversation");
const composer = $("#ask");
const field = composer.elements.question;
const session = crypto.randomUUID?.() ?? String(Math.random());
let latest; // handle of the turn before
let rephrasing; // handle of the turn whose question is being put differently

const stamp = (id) => $(`#${id}`).content.firstElementChild.cloneNode(true);
const say = (text) => ($("#status").textContent = text);

// --- Asking ---

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = field.value.trim();
  if (!text) return;
  field.value = "";
  ask(text);
});

field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    composer.requestSubmit();
  }
  if (event.key === "Escape") startRephrasing(undefined);
});

async function ask(text) {
  $(".welcome")?.remove();
  const before = { handle: latest, rephrased: rephrasing };
  startRephrasing(undefined);
  $(".removed").hidden = true;
  const turn = conversation.appendChild(stamp("turn"));
  $("h2", turn).textContent = text;
  turn.scrollIntoView({ behavior: "smooth", block: "start" });
  let said = "";
  try {
    const body = JSON.stringify({ text, session });
    const response = await fetch("/api/ask", { method: "POST", body, headers: { "content-type": "application/json" } });
    if (!response.ok) throw new Error(`the server answered ${response.status}.`);
    for await (const event of lines(response)) {
      if (event.type === "sources") showSources(turn, event, text, before);
      if (event.type === "piece") showAnswer(turn, (said += event.text));
      if (event.type === "error") throw new Error(event.text);
    }
    $(".verdict", turn).hidden = false;
    say("The answer is complete.");
  } catch (error) {
    const note = $(".answer", turn).appendChild(document.createElement("p"));
    note.className = "failed";
    note.textContent = `No answer: ${error.message} Your question is in the field below: send it again.`;
    field.value ||= text;
    say(note.textContent);
  }
  $(".waiting", turn)?.remove();
  $(".answer", turn).removeAttribute("aria-busy");
}

/** The JSON objects of a response, one a line, as they arrive. */
async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts.map((part) => JSON.parse(part));
  }
}

function showSources(turn, { handle, sources }, query, before) {
  turn.dataset.ragwheelHandle = latest = handle;
  if (before.rephrased) signal(before.rephrased, "reformulate", { query, other: handle });
  else if (before.handle) signal(before.handle, "follow_up");
  showCards($(".cards", turn), sources);
  $(".found", turn).hidden = !sources.length;
}

/** Text with `code` and [1] made into elements; [n] is the n-th source. */
function showAnswer(turn, text) {
  const cards = [...turn.querySelectorAll(".found > .cards > .card")];
  const parts = text.split(/(\[\d+\]|``?[^`]+``?)/).map((part) => {
    const number = /^\[(\d+)\]$/.exec(part)?.[1];
    if (number && cards[number - 1]) return citation(number, cards[number - 1]);
    if (!/^`.+`$/s.test(part)) return part;
    const code = document.createElement("code");
    code.textContent = part.replaceAll("`", "");
    code.classList.toggle("short", part.length < 32);
    return code;
  });
  $(".answer", turn).replaceChildren(...parts);
}

function citation(number, cited) {
  const link = document.createElement("a");
  link.className = "cite";
  link.href = `#${cited.id}`;
  link.textContent = number;
  link.dataset.ragwheelAction = "click";
  link.dataset.ragwheelFor = cited.dataset.ragwheelChunk;
  link.setAttribute("aria-label", `Source ${number}`);
  return link;
}

// --- Sources ---

let cardsMade = 0;

function card(source, rank) {
  const made = stamp("card");
  made.id = `source-${++cardsMade}`;
  made.dataset.ragwheelChunk = source.id;
  $(".rank", made).textContent = rank;
  $(".title", made).id = `${made.id}-title`; // which source a button is about
  for (const button of made.querySelectorAll("button")) button.setAttribute("aria-describedby", `${made.id}-title`);
  fill(made, source);
  $(".title", made).href = `https://docs.python.org/3/search.html?q=${encodeURIComponent(source.metadata.title)}`;
  return made;
}

/** Append cards; those that show all of their text don't offer to. */
function showCards(list, sources) {
  list.append(...sources.map((source, at) => card(source, at + 1)));
  for (const text of list.querySelectorAll(".text")) {
    $(".more", text.parentElement).hidden = text.scrollHeight <= text.clientHeight + 2;
  }
}

/** A passage is a signature and paragraphs: prose is set anew, code and tables stay as they are. */
function fill(element, { id, text, metadata }) {
  const [signature, ...paragraphs] = text.split("\n\n");
  $(".title", element).textContent = id.replace("#", ", part ");
  $(".signature", element).textContent = signature.replace(metadata.title, "").trim();
  for (const paragraph of paragraphs) {
    const prose = !/^(\s{4}|>>>|[+|=-]{2})/m.test(paragraph);
    const made = document.createElement(prose ? "p" : "pre");
    made.textContent = prose ? paragraph.replace(/\s*\n\s*/g, " ").replace(/`|:(?=:$)/g, "") : paragraph;
    $(".text", element).append(made);
  }
}

/** What the buttons do for the eye; what they mean is in their data-ragwheel-action. */
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const own = button?.closest("[data-ragwheel-chunk]");
  const does = button?.dataset.do ?? button?.dataset.ragwheelAction;
  if (button?.closest(".suggestions")) ask(button.textContent);
  else if (does === "thumbs_up" || does === "thumbs_down") vote(button);
  else if (does === "expand") expand(button, own);
  else if (does === "delete") remove(own);
  else if (does === "more_like_this") showSimilar(own);
  else if (does === "read") read(own);
  else if (does === "undo") undo();
  else if (does === "compare") compare(button, own);
  else if (does === "prefer") button.closest("dialog").close(own.dataset.ragwheelChunk);
  else if (does === "rephrase") startRephrasing(button.closest(".turn"));
  else if (does === "cancel") startRephrasing(undefined);
  else if (does === "close") button.closest("dialog") ? button.closest("dialog").close() : button.closest(".similar").remove();
});

function vote(button) {
  const pressed = button.getAttribute("aria-pressed") !== "true";
  for (const one of button.parentElement.querySelectorAll('[data-ragwheel-action^="thumbs"]')) {
    one.setAttribute("aria-pressed", String(one === button && pressed));
  }
}

function expand(button, own) {
  const open = own.classList.toggle("open");
  button.setAttribute("aria-expanded", String(open));
  button.textContent = open ? "Show less" : "Show all";
}

const handleOf = (element) => element.closest("[data-ragwheel-handle]").dataset.ragwheelHandle;

let removed; // the card that was removed last, and where it was

function remove(own) {
  const next = own.nextElementSibling ?? own.previousElementSibling;
  removed = { own, list: own.parentElement, before: own.nextElementSibling, handle: handleOf(own) };
  own.classList.add("leaving");
  const gone = () => own.classList.contains("leaving") && own.remove();
  own.addEventListener("transitionend", gone, { once: true });
  setTimeout(gone, 400);
  next?.focus({ preventScroll: true });
  $(".removed span").textContent = `Removed ${$(".title", own).textContent}.`;
  $(".removed").hidden = false;
  say(`Removed ${$(".title", own).textContent}.`);
}

/** Put the card back, and take the signal back. */
function undo() {
  const { own, list, before, handle } = removed;
  own.classList.remove("leaving");
  list.insertBefore(own, before?.isConnected ? before : null);
  own.focus({ preventScroll: true });
  retract(handle, "delete", { chunk: own.dataset.ragwheelChunk });
  $(".removed").hidden = true;
  say(`${$(".title", own).textContent} is back.`);
}

/** The whole passage in a dialog: the beacon is told, so that the time counts as time with this source. */
function read(own) {
  const reader = stamp("reader");
  copyPassage(own, reader);
  $(".elsewhere", reader).href = $("a.title", own).href;
  reader.addEventListener("close", () => {
    closed();
    reader.remove();
  });
  document.body.append(reader);
  reader.showModal();
  opened(handleOf(own), own.dataset.ragwheelChunk);
}

function copyPassage(from, to) {
  for (const part of [".title", ".signature", ".text"]) {
    $(part, to).replaceChildren(...$(part, from).cloneNode(true).childNodes);
  }
}

async function showSimilar(own) {
  const id = own.dataset.ragwheelChunk;
  const response = await fetch(`/api/similar?chunk=${encodeURIComponent(id)}`);
  const { handle, sources } = await response.json();
  const found = own.closest(".found");
  $(".similar", found)?.remove();
  const similar = stamp("similar");
  similar.dataset.ragwheelHandle = handle;
  $("code", similar).textContent = $(".title", own).textContent;
  found.append(similar);
  showCards($(".cards", similar), sources);
  similar.scrollIntoView({ behavior: "smooth", block: "nearest" });
  say(`${sources.length} passages like ${$(".title", own).textContent}.`);
}

/** The first press marks a card, the second, on another card of the same list, opens both side by side. */
function compare(button, own) {
  const list = own.closest(".cards");
  const marked = $('[data-do="compare"][aria-pressed="true"]', list);
  button.setAttribute("aria-pressed", String(marked !== button));
  if (!marked) return say("Choose a second source to compare it with.");
  if (marked === button) return;
  const dialog = stamp("comparison");
  const pair = [marked.closest(".card"), own].map((chosen) => {
    const article = stamp("contender");
    article.dataset.ragwheelChunk = chosen.dataset.ragwheelChunk;
    copyPassage(chosen, article);
    return article;
  });
  $(".pair", dialog).append(...pair);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue) say("Thank you.");
    dialog.remove();
    marked.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "false");
    button.focus({ preventScroll: true });
  });
  list.after(dialog); // inside the element that has the handle
  dialog.showModal();
}

// --- Asking differently ---

function startRephrasing(turn) {
  rephrasing = turn?.dataset.ragwheelHandle;
  $(".asking-again").hidden = !rephrasing;
  if (!turn) return;
  field.value = $("h2", turn).textContent;
  field.focus();
  field.select();
}

// --- Around it ---

setInterval(() => {
  const { kept, queued } = stats();
  $(".heard").textContent = kept + queued ? `${kept} ${kept === 1 ? "signal" : "signals"} kept` : "";
}, 1_000);

fetch("/api/corpus")
  .then((response) => response.json())
  .then(({ passages, python }) => {
    const text = `${passages.toLocaleString("en")} passages from the docstrings of Python ${python}`;
    $("#corpus")?.append(text);
  })
  .catch(() => {});
field.focus();
