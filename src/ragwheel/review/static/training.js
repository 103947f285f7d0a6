// Triplets are struck out by a key on the one that has the focus, or by its buttons; j and k go from one to the next.

import { post } from "./outbox.js";

const rows = document.getElementById("rows");
const notice = document.getElementById("notice");
const VALUES = { d: "row", p: "positive", n: "negative", u: "" };

async function strike(card, value) {
  const { query, source, chunk, other_source, other } = card.dataset;
  try {
    await post("/api/strike", {
      rater: rows.dataset.rater, query, source, chunk, other_source, other, value: value || null,
    });
    card.classList.toggle("struck", Boolean(value));
    card.querySelector(".state").textContent = value ? `struck out (${value})` : "put back";
    notice.hidden = true;
  } catch (error) {
    notice.hidden = false;
    notice.textContent = `Not kept: ${error.status ? error.message : "the server cannot be reached"}. Press the key again.`;
  }
}

function step(by) {
  const cards = [...rows.querySelectorAll(".triplet")];
  const place = cards.indexOf(document.activeElement.closest(".triplet"));
  cards[Math.min(Math.max(place + by, 0), cards.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (!rows || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select")) return;
  const key = event.key.toLowerCase();
  if (key === "j" || key === "k") return step(key === "j" ? 1 : -1);
  const card = event.target.closest(".triplet");
  if (card && key in VALUES) strike(card, VALUES[key]);
});
rows?.querySelector(".triplet")?.focus({ preventScroll: true });
rows?.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-value]");
  if (button) strike(button.closest(".triplet"), button.dataset.value);
});
