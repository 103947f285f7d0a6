// The outbox without a page: what is sent, sent again, given up, and what is counted. `npm test`
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";

const CONTRACT = JSON.parse(readFileSync(new URL("../../../tests/contract/signals.json", import.meta.url)));
const URL_ = "https://collector.test/v1/signals";
const HANDLE = "u1.body.check";
let beacon, requests, local;
let answer; // (signals, request) => Response or a promise of one

/** A fresh copy of the module: a page of its own, whose outbox has looked into localStorage. */
async function newPage() {
  ({ beacon } = await import(`../src/core.js?${Math.random()}`));
  stats();
  await import("../src/stored.js");
  await new Promise(setImmediate);
}
const json = (status, body) => new Response(JSON.stringify(body), { status });
const all = (status) => (signals) => json(200, { results: signals.map(({ event_id }) => ({ event_id, status })) });
const send = (kind, more) => beacon.signal(HANDLE, kind, { endpoint: URL_, ...more });
const stats = () => beacon.stats(URL_);
const flush = () => beacon.flush(URL_);
const ids = (request) => request.signals.map((signal) => signal.event_id);

class Storage {
  getItem(key) { return Object.hasOwn(this, key) ? this[key] : null; }
  setItem(key, value) { this[key] = String(value); }
  removeItem(key) { delete this[key]; }
}

const { setTimeout: later } = globalThis;
globalThis.setTimeout = (...given) => later(...given).unref(); // a next attempt does not keep the tests waiting

const replaced = {};
/** Put something in the place of a global until the test is over. */
function replace(name, value) {
  replaced[name] ??= Object.getOwnPropertyDescriptor(globalThis, name) ?? null;
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

beforeEach(async () => {
  requests = [];
  answer = all("kept");
  local = new Storage();
  replace("localStorage", local);
  replace("fetch", async (url, options) => {
    const request = { url, options, ...JSON.parse(options.body) };
    requests.push(request);
    return answer(request.signals, request);
  });
  await newPage();
});

afterEach(() => {
  const { recorded, adopted, kept, refused, dropped, queued } = stats();
  assert.equal(recorded + adopted, kept + refused + dropped + queued);
  for (const [name, old] of Object.entries(replaced)) {
    if (old) Object.defineProperty(globalThis, name, old);
    else delete globalThis[name];
    delete replaced[name];
  }
});

test("a signal arrives as the collector reads it, without a preflight, with cookies only to its own origin", async () => {
  assert.equal(send("rating", { chunk: "c1", value: 4, at: new Date(1_700_000_000_500) }), true);
  assert.equal(await flush(), true);
  const [{ url, options, signals: [signal] }] = requests;
  assert.equal(url, URL_);
  assert.deepEqual({ ...signal, event_id: "" }, { handle: HANDLE, kind: "rating", chunk: "c1", value: 4, event_id: "", at: 1_700_000_000.5 });
  assert.match(signal.event_id, /^[0-9a-f-]{36}$/);
  assert.equal(typeof options.body, "string"); // text/plain
  assert.equal(options.headers, undefined);
  assert.equal(options.credentials, "same-origin");
  assert.equal(options.keepalive, true);
});

test("signals share a request, and event ids differ", async () => {
  for (let n = 0; n < 10; n++) send("click", { chunk: n });
  await flush();
  assert.equal(requests.length, 1);
  assert.equal(new Set(ids(requests[0])).size, 10);
});

test("what waits goes out by itself after batchMs", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  send("click", { chunk: "c" });
  t.mock.timers.tick(1_999);
  assert.equal(requests.length, 0);
  t.mock.timers.tick(1);
  assert.equal(requests.length, 1);
  assert.equal(await flush(), true);
});

test("a full batch does not wait, and no request holds more than 50 signals or 60 KB", async () => {
  for (let n = 0; n < 120; n++) send("click", { chunk: n });
  await flush();
  assert.deepEqual(requests.map((request) => request.signals.length), [50, 50, 20]);
  requests = [];
  for (let n = 0; n < 20; n++) send("reformulate", { query: "ü".repeat(5_000) });
  await flush();
  assert.ok(requests.length >= 4);
  for (const { options } of requests) assert.ok(Buffer.byteLength(options.body) <= 60_000);
});

for (const [name, failure] of [
  ["no network", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["500", () => json(500, { error: "x" })],
  ["503 from a proxy, as HTML", () => new Response("<h1>", { status: 503 })],
  ["429", () => json(429, { error: "too many" })],
  ["408", () => json(408, {})],
  ["401 of a login page", () => new Response("<h1>Log in", { status: 401 })],
  ["403 of a proxy", () => new Response("<h1>", { status: 403 })],
  ["404, a collector that is not there yet", () => new Response("", { status: 404 })],
  ["200 from something that is no collector", () => new Response("<!doctype html>", { status: 200 })],
  ["later", (signals) => all("later")(signals)],
]) {
  test(`${name}: sent again under the same event ids`, async () => {
    answer = failure;
    send("click", { chunk: "a" });
    send("copy", { chunk: "b" });
    assert.equal(await flush(), false);
    assert.equal(stats().queued, 2);
    assert.equal(Object.keys(local).length, 2);
    answer = all("kept");
    assert.equal(await flush(), true);
    assert.deepEqual(ids(requests[1]), ids(requests[0]));
    assert.deepEqual([stats().kept, stats().queued, stats().failures], [2, 0, 1]);
    assert.equal(Object.keys(local).length, 0);
  });
}

for (const [name, failure] of [
  ["422 with a reason", (signals) => json(422, all("refused")(signals))],
  ["refused one by one", (signals) => all("refused")(signals)],
  ["400 without results", () => json(400, { error: "not JSON" })],
]) {
  test(`${name}: refused, counted and not sent again`, async () => {
    answer = failure;
    send("click", { chunk: "a" });
    await flush();
    await flush();
    assert.equal(requests.length, 1);
    assert.deepEqual([stats().refused, stats().queued], [1, 0]);
  });
}

for (const { name, signals, responses, requests: sizes, sent, refused } of CONTRACT.answers) {
  test(`contract: ${name}`, async () => {
    const waiting = [...responses];
    answer = (given) => {
      const { status, results, text, fails } = waiting.shift();
      if (fails) throw new TypeError("Failed to fetch");
      if (text !== undefined) return new Response(text, { status });
      return json(status, { results: results?.map((word, at) => ({ event_id: given[at].event_id, status: word })) });
    };
    for (let n = 0; n < signals; n++) send("click", { chunk: n });
    for (const _ of responses) await flush();
    assert.deepEqual(requests.map((request) => request.signals.length), sizes);
    assert.deepEqual([stats().kept, stats().refused, stats().queued], [sent, refused, 0]);
    const first = ids(requests[0]);
    for (const request of requests) assert.ok(ids(request).every((id) => first.includes(id)));
  });
}

test("of a batch that was kept in part, only the rest is sent again", async () => {
  const words = { click: "kept", copy: "refused", expand: "later", bookmark: "duplicate", delete: "pending" };
  answer = (signals) =>
    json(207, { results: signals.map(({ event_id, kind }) => ({ event_id, status: words[kind] })) });
  for (const kind of Object.keys(words)) send(kind, { chunk: "a" });
  await flush();
  assert.deepEqual([stats().kept, stats().refused, stats().queued], [3, 1, 1]);
  answer = all("kept");
  await flush();
  assert.deepEqual(requests[1].signals.map((signal) => signal.kind), ["expand"]);
});

test("between failures there is more and more time, up to a minute", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(Math, "random", () => 1);
  answer = () => Promise.reject(new TypeError());
  send("click", { chunk: "a" });
  const waits = [];
  for (let n = 0; n < 9; n++) {
    await flush();
    const before = requests.length;
    let waited = 0;
    while (requests.length === before) {
      t.mock.timers.tick(500);
      waited += 0.5;
      assert.ok(waited < 100);
    }
    waits.push(waited);
    await flush(); // what the timer began
  }
  assert.ok(waits[0] <= 2 && waits.at(-1) === 60, String(waits));
  assert.deepEqual(waits, [...waits].sort((a, b) => a - b));
  answer = all("kept");
  await flush();
});

test("the queue is bounded: the oldest go, and are counted", async () => {
  answer = () => Promise.reject(new TypeError());
  for (let n = 0; n < 600; n++) send("click", { chunk: n });
  await flush();
  assert.deepEqual([stats().queued, stats().dropped], [500, 100]);
  assert.ok(Object.keys(local).length > 300);
  assert.ok(Object.entries(local).flat().join("").length <= 100_000);
  answer = all("kept");
  await flush();
  assert.deepEqual([stats().kept, Object.keys(local).length], [500, 0]);
  assert.equal(requests.flatMap((request) => request.signals).some((signal) => signal.chunk === 599), true);
});

test("the next page sends what the last one could not, under the same ids", async () => {
  answer = () => Promise.reject(new TypeError());
  send("click", { chunk: "a" });
  await flush();
  const [before] = requests;
  answer = all("kept");
  await newPage();
  send("copy", { chunk: "b" });
  assert.equal(stats().adopted, 1);
  await flush();
  assert.equal(ids(requests.at(-1))[0], ids(before)[0]);
  assert.equal(Object.keys(local).length, 0);
});

test("nothing is written to localStorage while the collector answers", async () => {
  local.setItem = () => assert.fail("written");
  send("click", { chunk: "a" });
  await flush();
  assert.equal(stats().kept, 1);
});

test("what others left in localStorage is not sent", async () => {
  local.setItem(`ragwheel:${URL_} 1`, "{broken");
  local.setItem(`ragwheel:${URL_} 2`, "[]");
  local.setItem("theme", "dark");
  local.setItem("ragwheel:https://other.test/ 3", JSON.stringify({ handle: "h" }));
  await newPage();
  send("click", { chunk: "a" });
  await flush();
  assert.equal(requests[0].signals.length, 1);
  assert.deepEqual(Object.keys(local), ["theme", "ragwheel:https://other.test/ 3"]);
});

for (const [name, storage] of [
  ["missing", undefined],
  ["forbidden", new Proxy({}, { get() { throw new DOMException("no", "SecurityError"); }, ownKeys() { throw new Error(); } })],
  ["full", Object.assign(new Storage(), { setItem() { throw new DOMException("full", "QuotaExceededError"); } })],
]) {
  test(`localStorage ${name}: the queue in memory is enough`, async () => {
    replace("localStorage", storage);
    answer = () => Promise.reject(new TypeError());
    assert.equal(send("click", { chunk: "a" }), true);
    await flush();
    answer = all("kept");
    assert.equal(await flush(), true);
    assert.equal(stats().kept, 1);
  });
}

test("what cannot be a signal is refused, and nothing is thrown", async () => {
  const hostile = { get chunk() { throw new Error("gotcha"); } };
  const circle = {};
  circle.self = circle;
  assert.equal(beacon.signal("", "click", { endpoint: URL_ }), false);
  assert.equal(beacon.signal(undefined, "click", { endpoint: URL_ }), false);
  assert.equal(send("", {}), false);
  assert.equal(send("reformulate", { query: "x".repeat(20_000) }), false);
  assert.equal(beacon.signal(HANDLE, "click", hostile), false);
  assert.equal(beacon.signal(HANDLE, "click", null), false);
  assert.equal(send("click", { chunk: circle }), false);
  assert.equal(send("click", { chunk: 1n }), false);
  assert.equal(beacon.signal(HANDLE, "click", { endpoint: "https://[" }), false);
  assert.equal(await beacon.flush("https://["), false);
  assert.equal(beacon.stats("https://[").recorded, 0);
  assert.equal(typeof beacon.attach(null), "function");
  beacon.attach()();
  assert.equal(requests.length, 0);
  assert.deepEqual([stats().refused, stats().errors], [4, 9]);
});

test("half surrogate pairs, quotes and emoji in ids make valid JSON", async () => {
  const chunks = ["a\"b'<c>", "emoji 🙂", "half \ud800 pair", "line\nbreak\u2028", "\\ud800"];
  for (const chunk of chunks) send("click", { chunk });
  await flush();
  assert.deepEqual(requests[0].signals.map((signal) => signal.chunk), chunks.with(2, "half \ufffd pair"));
  assert.ok(!requests[0].options.body.includes("\\ud8") || requests[0].options.body.includes("\\\\ud8"));
});

test("without HTTPS there is no randomUUID; ids are still random", async () => {
  globalThis.realCrypto = await import("node:crypto").then((module) => module.webcrypto);
  replace("crypto", { getRandomValues: (a) => globalThis.realCrypto.getRandomValues(a) });
  send("click", { chunk: "a" });
  send("click", { chunk: "a" });
  await flush();
  const [a, b] = ids(requests.at(-1));
  assert.match(a, /^\d+(-\d+){3}$/);
  assert.notEqual(a, b);
  delete globalThis.realCrypto;
});
