/** Copied text: which chunks it came from, or the answer. */
import { attribute, cardOf, handleOf, named } from "./page.js";

/** The cards that a selection took text from; [] when it is the whole page; null outside of any card. */
function copiedCards(root, target) {
  const selection = getSelection();
  if (target?.closest?.("input, textarea") || !selection || selection.isCollapsed || !selection.rangeCount) {
    const field = target?.closest?.("input, textarea") ?? target;
    return field?.selectionStart !== field?.selectionEnd && cardOf(field) ? [cardOf(field)] : [];
  }
  if (!`${selection}`.trim()) return [];
  const range = selection.getRangeAt(0);
  const cards = [...root.querySelectorAll(named("chunk"))];
  const some = cards.filter((card) => range.intersectsNode(card) && textWithin(range, card));
  const inside = cardOf(range.startContainer) ?? cardOf(range.endContainer);
  if (!some.length) return inside ? [inside] : null;
  // Everything on the page was selected: that is about none of the cards
  const everything = `${selection}`.trim().length >= document.body.innerText.trim().length * 0.95;
  return everything && (some.length > 1 || !inside) ? [] : some;
}

/** Whether any text of the card is in the range, not just its edge. */
function textWithin(range, card) {
  const part = range.cloneRange();
  const whole = card.ownerDocument.createRange();
  whole.selectNodeContents(card);
  if (part.compareBoundaryPoints(Range.START_TO_START, whole) < 0) part.setStart(whole.startContainer, whole.startOffset);
  if (part.compareBoundaryPoints(Range.END_TO_END, whole) > 0) part.setEnd(whole.endContainer, whole.endOffset);
  return `${part}`.trim() !== "";
}

/** The handle of the answer that the selection lies in. */
const answerOf = () => handleOf(getSelection().getRangeAt(0).commonAncestorContainer);

/** Text was copied: from cards, or from the answer beside them. */
export function copied(root, target, say) {
  const from = copiedCards(root, target);
  if (from === null && answerOf()) say(answerOf(), "copy", {});
  for (const card of from ?? []) say(handleOf(card), "copy", { chunk: attribute(card, "chunk") });
}
