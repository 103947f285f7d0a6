/**
 * Clocks: for how long each chunk of each answer was looked at, on the browser's monotonic clock.
 *
 * State belongs to (collector, handle, chunk), not to a node: a card that is rendered again goes on where the
 * former one was. A chunk's time runs while one of its cards is in view, or its source is open, the page is
 * visible, and somebody has moved, scrolled or typed within `idleMs`. `tell(look, kind, value)` gets
 * `impression` and the growing `dwell`.
 */

const IMPRESSION_MS = 1_000; // half visible for this long, all in all: seen
const FOLLOWED_MS = 5_000; // the card or the page hides this soon after a click on a link: the source was opened
const GRACE_MS = 300; // a card that is replaced this soon was never gone
const PRESUMED_MS = 1_000; // how long a replacement counts as in view before the browser says so
const REPORT_MS = 5_000; // a chunk's dwell is told at most this often while the page stays
const MAX_KEPT = 200; // chunks whose times survive a reload
const MAX_KEY = 1_000; // characters of their keys
const KEPT = "ragwheel:looks"; // sessionStorage

export function newLooks(tell, settings) {
  const all = new Map(); // collector, handle and chunk -> look
  let activeAt = performance.now();
  let gone = false; // between pagehide and pageshow
  let followed, away; // the look whose link was just clicked, and since when the person is on another page
  let opened; // the look whose source is open in this page
  let openTimer, followTimer, kept;

  const later = (run, ms, look) => setTimeout(settings.safely(run), ms, look);
  const pageVisible = () => !gone && !document.hidden;

  /** Add the time since the look's clock was started, and start it again if somebody is looking. */
  function update(look) {
    const now = performance.now();
    const end = Math.min(now, activeAt + settings.idleMs, look.goneAt ?? now);
    const passed = Math.max(0, end - (look.since ?? end));
    look.ms += passed;
    if (look.inView) look.viewMs += passed;
    look.inView = look.cards.size > 0 || look.goneAt !== undefined;
    const runs = pageVisible() && (look.inView || look === opened);
    look.since = runs ? (look.goneAt ?? now) : undefined;
    clearTimeout(look.timer);
    if (runs && look.cards.size && !look.impressed) {
      look.timer = later(impress, Math.max(20, IMPRESSION_MS - look.viewMs), look);
    }
  }

  function impress(look) {
    update(look);
    if (look.impressed || look.viewMs < IMPRESSION_MS - 20) return;
    const drawn = { opacityProperty: true, visibilityProperty: true };
    const boxOf = (card) => (card.getClientRects().length ? card : card.parentElement); // display: contents has none
    const cards = [...look.cards].filter((card) => card.isConnected);
    if (!cards.length) return update(look); // replaced a moment ago
    look.impressed = cards.some((card) => boxOf(card).checkVisibility?.(drawn) ?? true);
    if (look.impressed) {
      clearTimeout(look.timer);
      tell(look, "impression");
    } else {
      look.viewMs = 0; // what was transparent was not seen
      update(look);
    }
  }

  /** One of the chunk's cards is in view. */
  function stay(look, card) {
    clearTimeout(look.goneTimer);
    look.goneAt = undefined;
    look.cards.add(card);
    update(look);
  }

  /** Nobody sees the chunk any more: its source was opened in its place, or its time is told. */
  function leave(look) {
    if (look.cards.size) return;
    if (followed === look && pageVisible()) open(look, settings.idleMs);
    else report(look);
    look.goneAt = undefined;
    update(look);
  }

  /** The source of a chunk is open, for at most `ms` when that was only inferred. */
  function open(look, ms) {
    if (opened !== look) close();
    opened = look;
    followed = undefined; // it is known now where the source opened
    clearTimeout(openTimer);
    if (ms) openTimer = later(close, ms);
    const began = look.goneAt; // the card made room for the source: no time between them is lost
    look.goneAt = undefined;
    if (began !== undefined && look.since !== undefined) look.inView = false;
    update(look);
  }

  function close() {
    const look = opened;
    clearTimeout(openTimer);
    if (!look) return;
    update(look);
    opened = undefined;
    update(look);
    if (!look.cards.size) report(look);
  }

  /** Tell a chunk's time; `now`: the page may be gone in a moment. */
  function report(look, now = false) {
    clearTimeout(look.reportTimer);
    update(look);
    // While somebody reads what the chunk links to, a short time would say that they didn't like it.
    if (look === away?.look || (look === opened && !now)) return;
    if (look.ms < IMPRESSION_MS || look.ms < look.reported * 1.05) return;
    const wait = look.reportedAt + REPORT_MS - performance.now();
    if (!now && wait > 0) {
      look.reportTimer = later(() => look.cards.size || report(look), wait);
      return;
    }
    look.reported = look.ms;
    look.reportedAt = performance.now();
    tell(look, "dwell", Math.min(86_400, Math.round(look.ms) / 1_000));
  }

  /** Do something with sessionStorage, which may be full or forbidden: after a reload clocks begin at zero then. */
  function session(use) {
    try {
      return settings.storage ? use(sessionStorage) : undefined;
    } catch {
      // nothing is kept
    }
  }

  /** Times of an earlier document in this tab: a reload goes on counting. */
  const recalled = (key) => {
    kept ??= new Map(session((tab) => JSON.parse(tab.getItem(KEPT))));
    return kept.get(key);
  };

  const keep = () => session((tab) => {
    for (const [key, { ms, viewMs, reported, impressed }] of all) {
      kept.delete(key);
      if (ms && key.length < MAX_KEY) kept.set(key, { ms, viewMs, reported, impressed });
    }
    if (kept?.size) tab.setItem(KEPT, JSON.stringify([...kept].slice(-MAX_KEPT)));
  });

  return {
    of(endpoint, handle, chunk) {
      const key = JSON.stringify([endpoint, handle, chunk]);
      if (!all.has(key)) {
        const times = recalled(key) ?? { ms: 0, viewMs: 0, reported: 0 };
        all.set(key, { endpoint, handle, chunk, ...times, cards: new Set() });
      }
      return all.get(key);
    },

    /** A card is in view or not; `removed`: it left the page, at that time. */
    show(look, card, visible, removed) {
      if (visible) {
        look.presumedAt = undefined;
        stay(look, card);
        if (opened === look) close();
      } else if (look.cards.delete(card) && !look.cards.size) {
        if (removed === undefined) return leave(look);
        look.goneAt = removed;
        look.goneTimer = later(leave, GRACE_MS, look);
      }
      update(look);
    },

    /** A card came in the place of one that was in view a moment ago. */
    presume(look, card) {
      const now = performance.now();
      if (look.goneAt !== undefined && now - (look.presumedAt ??= now) <= PRESUMED_MS) stay(look, card);
    },

    open,
    close,

    /** Tell all times, or, where the page may be rendered anew, those of what nobody sees any more. */
    reportAll(gone) {
      for (const look of all.values()) if (!gone || !look.cards.size) report(look, true);
      keep();
    },

    /** Consent was withdrawn. */
    clear() {
      all.clear();
      close();
      session((tab) => tab.removeItem(KEPT));
    },

    follow(look) {
      if (opened !== look) close();
      followed = look;
      clearTimeout(followTimer);
      followTimer = later(() => (followed = undefined), FOLLOWED_MS);
    },

    /** The page was shown, hidden or left. */
    refresh(left) {
      const now = performance.now();
      gone = left;
      // Time on another page behind a chunk's link counts as time with the chunk
      if (!pageVisible()) {
        if (followed) away ??= { look: followed, at: now };
        followed = undefined;
      } else if (away) {
        away.look.ms += Math.min(now - away.at, settings.idleMs);
        away = undefined;
      }
      all.forEach(update);
      activeAt = now;
    },

    /** Somebody is there: after a pause, clocks go on from here. */
    active() {
      const now = performance.now();
      if (now - activeAt > settings.idleMs) all.forEach(update);
      activeAt = now;
    },
  };
}
