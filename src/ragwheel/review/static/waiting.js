// A page that shows what is computed in the background says how far that is, and shows it when it is done.

import { post } from "./outbox.js";

const line = document.getElementById("waiting");
const words = document.getElementById("waiting-words");
const newer = document.getElementById("newer");
const begun = words.textContent.split(":")[0];

async function look() {
  let state = null;
  try {
    state = await post("/api/state", {});
  } catch {
    return setTimeout(look, 2000); // the server is away
  }
  if (state.problem) {
    words.textContent = `The traces could not be read: ${state.problem}`;
  } else if (state.running) {
    const now = `${begun}: ${state.stage}.`;
    if (words.textContent !== now) words.textContent = now;
    setTimeout(look, 1000);
  } else if (Number(line.dataset.at) === 0) {
    location.reload(); // there was nothing to read here
  } else {
    words.textContent = "There is a newer state.";
    newer.hidden = false;
    newer.href = location.href;
  }
}

setTimeout(look, 1000);
