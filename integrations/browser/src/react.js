/**
 * React 18 and 19: <Turn> and <Source> put the attributes into the page, useRagwheel() gives the functions.
 *
 * The handle comes by context, so that dialogs and portals belong to their turn wherever they are rendered.
 */
import { createContext, createElement, useContext, useEffect, useMemo } from "react";

import { attach, closed, opened, retract, signal, vote } from "./ragwheel.js";

const About = createContext({});
const attached = new Map(); // endpoint -> { users, detach }: one watcher of the document, however many turns

/** Watch the document while a component is mounted. */
function useAttached(options) {
  const key = JSON.stringify(options ?? {});
  useEffect(() => {
    const entry = attached.get(key) ?? { users: 0, detach: attach(document, options) };
    entry.users++;
    attached.set(key, entry);
    return () => {
      // after the next effects: StrictMode and route changes mount again at once
      setTimeout(() => {
        if (--entry.users || attached.get(key) !== entry) return;
        attached.delete(key);
        entry.detach();
      });
    };
  }, [key]);
}

/** Everything inside is about one turn or retrieval. `options` are those of `attach`. */
export function Turn({ handle, options, as = "div", children, ...rest }) {
  useAttached(options);
  const about = useMemo(() => ({ handle, endpoint: options?.endpoint }), [handle, options?.endpoint]);
  const inside = createElement(About.Provider, { value: about }, children);
  return createElement(as, { ...rest, "data-ragwheel-handle": handle || undefined }, inside);
}

/** A card of one chunk. */
export function Source({ chunk, as = "article", children, ...rest }) {
  const { handle, endpoint } = useContext(About);
  const about = useMemo(() => ({ handle, endpoint, chunk }), [handle, endpoint, chunk]);
  const names = { "data-ragwheel-handle": handle || undefined, "data-ragwheel-chunk": chunk };
  return createElement(as, { ...rest, ...names }, createElement(About.Provider, { value: about }, children));
}

/** <ragwheel-feedback> for the turn or source around it; import "ragwheel-beacon/feedback" once. */
export function Feedback({ answer, ...rest }) {
  const { handle, chunk } = useContext(About);
  return createElement("ragwheel-feedback", { handle, chunk: answer ? undefined : chunk, ...rest });
}

/** Functions about the turn, and the source, that a component is in. */
export function useRagwheel() {
  const { handle, chunk, endpoint } = useContext(About);
  return useMemo(() => {
    const about = (options) => ({ chunk, endpoint, ...options });
    return {
      handle,
      chunk,
      signal: (kind, options) => signal(handle, kind, about(options)),
      vote: (kind, options) => vote(handle, kind, about(options)),
      retract: (kind, options) => retract(handle, kind, about(options)),
      opened: (source = chunk) => opened(handle, source, { endpoint }),
      closed,
    };
  }, [handle, chunk, endpoint]);
}
