// A chat that streams, opens a source in a portal and lets people vote: bundled by the browser tests.
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { createPortal } from "react-dom";

import "../src/feedback.js";
import * as beacon from "../src/ragwheel.js";
import { Feedback, Source, Turn, useRagwheel } from "../src/react.js";

const { handle, chunks } = JSON.parse(document.body.dataset.turn);
window.beacon = beacon;

function Panel({ close }) {
  const { vote, chunk, opened, closed } = useRagwheel();
  useEffect(() => {
    opened();
    return closed;
  }, [opened, closed]);
  return createPortal(
    <Source chunk={chunk} as="section" className="card">
      <p>The whole source {chunk}</p>
      <button onClick={() => vote("bookmark")}>keep</button>
      <button onClick={close}>close</button>
    </Source>,
    document.querySelector("#portal"),
  );
}

function Card({ chunk, tick }) {
  const [open, setOpen] = useState(false);
  return (
    <Source chunk={chunk} key={`${chunk} ${tick}`} className="card">
      <p>What {chunk} says, word {tick}</p>
      <button onClick={() => setOpen(true)}>open {chunk}</button>
      {open && <Panel close={() => setOpen(false)} />}
    </Source>
  );
}

function Chat() {
  const [tick, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTick((n) => Math.min(n + 1, 20)), 100);
    return () => clearInterval(timer);
  }, []);
  return (
    <Turn handle={handle} options={{ endpoint: "/v1/signals", batchMs: 50 }} as="main">
      <p id="words">{"word ".repeat(tick)}</p>
      <Feedback answer />
      {chunks.map((chunk) => <Card key={tick < 20 ? `${chunk} ${tick}` : chunk} chunk={chunk} tick={tick} />)}
    </Turn>
  );
}

createRoot(document.querySelector("#root")).render(<StrictMode><Chat /></StrictMode>);
