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
const KEPT = "ragwheel:looks"; // sessionStorage

export function newLooks(tell, settings) {
  const all = new Map(); // collector, handle and chunk -> look
  let activeAt = performance.now();
  let gone = false; // between pagehide and pageshow
  let followed, away; // the look whose link was clicked, and since when the person is on another page
  let opened; // the look whose source is open in this page
  let openTimer, kept;

  const pageVisible = () => !gone && document.visibilityState === "visible";

  /** Add the time since the look's clock was started, and start it again if somebody is looking. */
  function update(look) {
    const now = performance.now();
    const end = Math.min(now, activeAt + settings.idleMs, look.goneAt ?? now);
    if (look.since !== undefined) {
      const passed = Math.max(0, end - look.since);
      look.ms += passed;
      if (look.inView) look.viewMs += passed;
    }
    look.inView = look.cards.size > 0 || look.goneAt !== undefined;
    const runs = pageVisible() && (look.inView || look === opened);
    look.since = runs ? (look.goneAt ?? now) : undefined;
    clearTimeout(look.timer);
    if (runs && look.cards.size && !look.impressed) {
      look.timer = setTimeout(settings.safely(impress), Math.max(20, IMPRESSION_MS - look.viewMs), look);
    }
  }

  function impress(look) {
    update(look);
    if (look.impressed || look.viewMs < IMPRESSION_MS - 20) return;
    const drawn = { opacityProperty: true, visibilityProperty: true };
    const boxOf = (card) => (getComputedStyle(card).display === "contents" ? card.parentElement : card);
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

  /** Nobody sees the chunk any more: its source was opened in its place, or its time is told. */
  function leave(look) {
    if (look.cards.size) return;
    if (followed?.look === look && performance.now() - followed.at < FOLLOWED_MS && pageVisible()) {
      followed = undefined;
      open(look, settings.idleMs);
    } else report(look);
    look.goneAt = undefined;
    update(look);
  }

  /** The source of a chunk is open, for at most `ms` when that was only inferred. */
  function open(look, ms) {
    if (opened !== look) close();
    opened = look;
    clearTimeout(openTimer);
    if (ms) openTimer = setTimeout(settings.safely(close), ms);
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

  /** Time on another page behind a chunk's link counts as time with the chunk. */
  function comeAndGo(now) {
    if (!pageVisible()) {
      if (followed && now - followed.at < FOLLOWED_MS) away ??= { look: followed.look, at: now };
      followed = undefined;
    } else if (away) {
      away.look.ms += Math.min(now - away.at, settings.idleMs);
      away = undefined;
    }
  }

  /** Tell a chunk's time; `now`: the page may be gone in a moment. */
  function report(look, now = false) {
    clearTimeout(look.reportTimer);
    update(look);
    // While somebody reads what the chunk links to, a short time would say that they didn't like it.
    if (look === away?.look || (look === opened && !now)) return;
    if (look.ms < IMPRESSION_MS || look.ms < look.reported * 1.05) return;
    const wait = REPORT_MS - (performance.now() - look.reportedAt);
    if (!now && wait > 0) {
      look.reportTimer = setTimeout(settings.safely(() => look.cards.size || report(look)), wait);
      return;
    }
    look.reported = look.ms;
    look.reportedAt = performance.now();
    tell(look, "dwell", Math.min(86_400, Math.round(look.ms) / 1_000));
  }

  /** Times of an earlier document in this tab: a reload goes on counting. */
  function recalled(key) {
    try {
      kept ??= new Map(settings.storage ? JSON.parse(sessionStorage.getItem(KEPT) ?? "[]") : []);
      const [ms, viewMs, reported, impressed] = kept.get(key) ?? [];
      return ms > 0 ? { ms, viewMs, reported, impressed } : {};
    } catch {
      kept ??= new Map();
      return {};
    }
  }

  function keep() {
    try {
      if (!settings.storage) return;
      for (const [key, look] of all) {
        kept.delete(key);
        if (look.ms) kept.set(key, [Math.round(look.ms), Math.round(look.viewMs), Math.round(look.reported), look.impressed]);
      }
      if (kept?.size) sessionStorage.setItem(KEPT, JSON.stringify([...kept].slice(-MAX_KEPT)));
    } catch {
      // Forbidden or full: after a reload the clocks begin at zero.
    }
  }

  return {
    of(endpoint, handle, chunk) {
      const key = JSON.stringify([endpoint, handle, chunk]);
      if (!all.has(key)) {
        const fresh = { ms: 0, viewMs: 0, reported: 0, impressed: false };
        const state = { cards: new Set(), reportedAt: -REPORT_MS };
        all.set(key, { endpoint, handle, chunk, ...fresh, ...recalled(key), ...state });
      }
      return all.get(key);
    },

    /** A card is in view or not; `removed`: it left the page, at that time. */
    show(look, card, visible, removed) {
      if (visible) {
        look.cards.add(card);
        look.presumedAt = undefined;
        clearTimeout(look.goneTimer);
        look.goneAt = undefined;
        if (opened === look) close();
      } else if (look.cards.delete(card) && !look.cards.size) {
        if (removed === undefined) return leave(look);
        look.goneAt = removed;
        look.goneTimer = setTimeout(settings.safely(leave), GRACE_MS, look);
      }
      update(look);
    },

    /** A card came in the place of one that was in view a moment ago. */
    presume(look, card) {
      const now = performance.now();
      if (look.goneAt === undefined || now - (look.presumedAt ??= now) > PRESUMED_MS) return;
      clearTimeout(look.goneTimer);
      look.goneAt = undefined;
      look.cards.add(card);
      update(look);
    },

    report,
    open,
    close,

    /** Tell the times of what nobody sees any more: the page may be rendered anew. */
    reportGone() {
      for (const look of all.values()) if (!look.cards.size) report(look, true);
    },

    reportAll() {
      for (const look of all.values()) report(look, true);
      keep();
    },

    /** Consent was withdrawn. */
    clear() {
      all.clear();
      close();
      try {
        sessionStorage.removeItem(KEPT);
      } catch {
        // There is nothing then.
      }
    },

    follow(look) {
      if (opened && opened !== look) close();
      followed = { look, at: performance.now() };
    },

    /** The page was shown, hidden or left. */
    refresh(left) {
      gone = left;
      comeAndGo(performance.now());
      all.forEach(update);
      activeAt = performance.now();
    },

    /** Somebody is there: after a pause, clocks go on from here. */
    active() {
      const now = performance.now();
      if (now - activeAt > settings.idleMs) all.forEach(update);
      activeAt = now;
    },
  };
}
