/** Actions: elements with data-ragwheel-action, and what using them means. */
import { attribute, chunkOf, closest, handleOf, named } from "./page.js";

const ABOUT_TURN = ["reformulate", "follow_up", "abandon", "convert"]; // about no chunk, wherever the button is
const FIELD = "select, textarea, input:not([type=button], [type=submit], [type=reset], [type=image])";
const TOGGLE = "input[type=checkbox], input[type=radio]";
const STATE = "[aria-pressed], [aria-checked], [aria-expanded], summary";
const SECRET = "[type=hidden], [type=password], [autocomplete*=one-time-code], [autocomplete*=password], [autocomplete*=cc-]";
const WRITTEN = `:is(textarea, [type=text], [type=search], input:not([type])):not(${SECRET})`;
const QUESTIONS = ["[name=q]", "[name=query]", "[name=question]", "[type=search]", "textarea", "*"];
const SETTLE_MS = 1_000; // how long a switch may take to show what it became

/** Whether a switch is on; undefined for what is no switch. */
function stateOf(element) {
  if (element.matches("summary")) return element.parentElement?.open;
  for (const name of ["pressed", "checked", "expanded"]) {
    const value = element.getAttribute(`aria-${name}`);
    if (value !== null) return value === "true";
  }
}

/** The field behind an action: itself, or the checkbox or radio button inside it or labelled by it. */
function fieldOf(by) {
  if (by.matches(FIELD)) return by;
  const inside = by.matches("form") ? [] : by.querySelectorAll(TOGGLE);
  const field = by.control ?? (inside.length === 1 ? inside[0] : undefined);
  return field?.matches(TOGGLE) ? field : undefined;
}

/** The text of the field that holds the question: never a hidden one, a password or a code. */
function questionOf(form) {
  const fields = [...(form.elements ?? form.querySelectorAll?.(WRITTEN) ?? [])].filter((field) => field.matches(WRITTEN));
  for (const selector of QUESTIONS) {
    const field = fields.find((field) => field.matches(selector) && field.value.trim());
    if (field) return field.value;
  }
}

/** The chunks that lose when `chunk` is preferred: the one named, or the others of the comparison. */
function rivals(by, chunk) {
  const other = attribute(by, "other");
  const cards = closest(by, named("compare"))?.querySelectorAll(named("chunk")) ?? [];
  const others = new Set([...cards].map((card) => attribute(card, "chunk")).filter((id) => id !== chunk));
  return other || !others.size ? [other] : others;
}

/** `say(handle, kind, about)` records a signal, `retract(handle, kind, chunk)` takes the earlier ones back. */
export function newActions(say, retract, safely) {
  const waiting = new Set(); // switches whose new state is not known yet: functions that stop waiting
  let pressed; // the switch under the pointer or the key, and its state before

  const switchOf = (by, target) => {
    const details = by.matches("details") && closest(target, "summary");
    const element = details || closest(target, STATE);
    return element && (by.contains(element) || element.contains(by)) ? element : undefined;
  };

  /** A press begins: a switch may change before the click does. */
  function press(target) {
    const element = closest(target, STATE);
    pressed = element && { element, was: stateOf(element) };
  }

  /** Everything that a signal of this action will need, read now: its card may be gone in a moment. */
  function read(by, field) {
    const kind = attribute(by, "action");
    const handle = handleOf(by);
    const chunk = ABOUT_TURN.includes(kind) ? undefined : (attribute(by, "for") ?? chunkOf(by));
    const secret = field?.matches(SECRET);
    const text = field && !secret && !field.matches("[type=checkbox]") ? field.value : undefined;
    const asks = kind === "reformulate";
    const value = attribute(by, "value") ?? (asks || text === "on" ? undefined : text);
    const query = attribute(by, "query") ?? (asks ? (field ? text : questionOf(by)) : undefined);
    const others = kind === "prefer" ? [...rivals(by, chunk)] : [attribute(by, "other")];
    return (on) => {
      if (!on) return retract(handle, kind, chunk);
      for (const other of others) {
        say(handle, kind, { chunk, other, query, value: value === undefined ? value : Number(value) });
      }
    };
  }

  /** Find out what a switch became, then `run(on)`. One that opened and closed again takes nothing back. */
  function settle(element, was, run) {
    const opens = element.matches("summary, [aria-expanded]:not([aria-pressed], [aria-checked])");
    const finish = safely((on) => {
      if (!waiting.delete(stop)) return;
      clearTimeout(timer);
      changes.disconnect();
      if (on || (on === false && !opens)) run(on);
    });
    const look = () => {
      const now = element.isConnected ? stateOf(element) : !was;
      if (now !== was) finish(now ?? true);
    };
    const changes = new MutationObserver(safely(look));
    const stop = () => finish(!was);
    waiting.add(stop);
    let timer = setTimeout(safely(() => {
      look(); // the click has been handled: mostly it is known now
      if (waiting.has(stop)) timer = setTimeout(() => finish(was ? undefined : true), SETTLE_MS);
    }), 0);
    changes.observe(element.matches("summary") ? element.parentElement : element, { attributes: true });
  }

  /** `by` was used: forms act on submit, fields and switches by what they became, everything else on click. */
  function act(by, event, target) {
    const field = fieldOf(by);
    if (by.matches("form")) {
      if (event.type === "submit") read(by)(true);
    } else if (field) {
      if (event.type !== "change" || target !== field) return;
      const cleared = field.matches("[type=checkbox]") ? !field.checked : !field.value.trim();
      read(by, field)(!cleared);
    } else if (event.type === "click" || (event.type === "auxclick" && event.button === 1 && by.matches("a[href]"))) {
      const element = switchOf(by, target);
      if (by.matches("details") && !element) return;
      const run = read(by);
      const was = element && (pressed?.element === element ? pressed.was : stateOf(element));
      if (element && was !== undefined) settle(element, was, run);
      else run(true);
      pressed = undefined;
    }
  }

  return { press, act, finish: () => waiting.forEach((stop) => stop()) };
}
