// Answers that the server has not confirmed yet. Each is an entry of localStorage, so that neither a lost
// server nor a closed tab loses one; any tab of this browser may send any of them, and sending twice is harmless.

const BATCH = 100;
const PAUSES_MS = [500, 1000, 2000, 5000, 10000];

export async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const found = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(found.error || `the server answered ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return found;
}

// What a rater reads while answers wait.
export function trouble(pending, error) {
  const what =
    error.status === 401
      ? "This browser is signed out: open the address that ragwheel review prints."
      : error.status
        ? `Not saved: ${error.message}`
        : "The server cannot be reached.";
  return `${what} ${pending} answer${pending === 1 ? "" : "s"} kept in this browser, sent as soon as possible.`;
}

export class Outbox {
  // Answers are sent to path and kept in localStorage under prefix. changed(pending, error) is called whenever the
  // number of unconfirmed answers or the reason changes, confirmed(answer) with what the server says,
  // refused(event, reason) for what it will never take.
  constructor({ path, prefix, changed, confirmed, refused }) {
    Object.assign(this, { path, prefix, changed, confirmed, refused });
    this.memory = new Map(); // where localStorage is off or full
    this.sending = false;
    this.failures = 0;
    this.error = null;
    this.timer = 0;
    this.last = 0;
    addEventListener("online", () => this.flush());
    addEventListener("storage", () => this.tell());
    addEventListener("beforeunload", (event) => {
      if (this.memory.size) event.preventDefault();
    });
  }

  add(event) {
    this.last = Math.max(Date.now(), this.last + 1);
    const kept = { ...event, id: crypto.getRandomValues(new Uint32Array(4)).join("-"), at: this.last };
    try {
      localStorage.setItem(this.prefix + kept.id, JSON.stringify(kept));
    } catch {
      this.memory.set(kept.id, kept);
    }
    this.tell();
    this.flush();
    return kept;
  }

  pending() {
    const events = [...this.memory.values()];
    for (let n = 0; n < localStorage.length; n += 1) {
      const name = localStorage.key(n);
      if (!name.startsWith(this.prefix)) continue;
      try {
        events.push(JSON.parse(localStorage.getItem(name)));
      } catch {
        localStorage.removeItem(name);
      }
    }
    return events.filter((event) => event && event.id).sort((a, b) => a.at - b.at);
  }

  forget(id) {
    this.memory.delete(id);
    localStorage.removeItem(this.prefix + id);
  }

  tell() {
    this.changed(this.pending().length, this.error);
  }

  async flush() {
    if (this.sending) return;
    clearTimeout(this.timer);
    this.sending = true;
    try {
      for (let events = this.pending(); events.length; events = this.pending()) {
        const batch = events.slice(0, BATCH);
        const answer = await post(this.path, { rater: batch[batch.length - 1].rater, events: batch });
        for (const event of batch) {
          const result = answer.results[event.id];
          if (!result) continue;
          this.forget(event.id);
          if (result !== "saved") this.refused(event, result.replace("refused: ", ""));
        }
        this.failures = 0;
        this.error = null;
        this.tell();
        this.confirmed(answer);
      }
    } catch (error) {
      this.error = error;
      const pause = PAUSES_MS[Math.min(this.failures, PAUSES_MS.length - 1)];
      this.failures += 1;
      this.timer = setTimeout(() => this.flush(), pause);
      this.tell();
    } finally {
      this.sending = false;
    }
  }
}
