// Two rankings side by side: a key keeps the preference and opens the next question. It moves on only once the
// server has confirmed it, so nothing is lost.

import { post } from "./outbox.js";

const room = document.getElementById("compare");
const notice = document.getElementById("notice");
const LAST = "ragwheel-compare-last";
let busy = false;

async function say(query, value) {
  const { rater, first, second } = room.dataset;
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    try {
      return await post("/api/prefer", { rater, first, second, query, value });
    } catch (error) {
      notice.hidden = false;
      notice.textContent = `Not kept yet: ${error.status ? error.message : "the server cannot be reached"}. Trying again.`;
      if (error.status && error.status < 500) throw error;
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

async function act(key) {
  if (!room || busy) return;
  const button = document.querySelector(`button[data-key="${key}"]`);
  if (!button) return;
  busy = true;
  try {
    if (key === "u") {
      const last = sessionStorage.getItem(LAST);
      if (last) await say(last, null);
      sessionStorage.removeItem(LAST);
    } else if (key === "s") {
      const address = new URL(location.href);
      address.searchParams.append("skip", room.dataset.query);
      location.replace(address);
      return;
    } else {
      await say(room.dataset.query, button.dataset.value);
      sessionStorage.setItem(LAST, room.dataset.query);
    }
    location.reload();
  } finally {
    busy = false;
  }
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
