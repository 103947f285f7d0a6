/** Kinds that every collector knows; an app registers its own with `ragwheel.signal_kind(...)`. */
export type Kind =
  | "impression" | "click" | "copy" | "expand" | "bookmark" | "dwell"
  | "thumbs_up" | "thumbs_down" | "rating" | "delete" | "more_like_this" | "prefer"
  | "reformulate" | "follow_up" | "abandon" | "convert" | "retract"
  | (string & {});

export interface AttachOptions {
  /** Where the collector takes signals, relative to the page or on another origin. Default `/v1/signals`. */
  endpoint?: string;
  /** How long signals wait for others to share a request with, in milliseconds. Default 2,000. */
  batchMs?: number;
  /** Without a sign of life for this long nobody is reading: dwell stands still. Milliseconds, default 60,000. */
  idleMs?: number;
  /** Whether unsent signals may wait in localStorage, and times in sessionStorage. Default true. */
  storage?: boolean;
  /** Which cookies go with a request, as in `fetch`. Default `same-origin`. */
  credentials?: "omit" | "same-origin" | "include";
  /** `false`: record nothing until `consent(true)`. */
  consent?: boolean;
  /** Record nothing where the browser sends Global Privacy Control. Default false. */
  gpc?: boolean;
  /** Say in the console, once each, what is wrong with the page or the collector. Default false. */
  debug?: boolean;
}

export interface SignalOptions {
  /** The app's id of the chunk; left out, the signal is about the answer. */
  chunk?: string | number;
  /** The chunk by its 1-based rank, for a retrieval's handle or a turn with one retrieval. */
  rank?: number;
  /** `dwell`: seconds; `rating`: 0 to 5; `convert`: any number. */
  value?: number;
  /** `reformulate`: the new text. */
  query?: string;
  /** `prefer`: the chunk that lost; `reformulate`: the handle of the new turn; `retract`: an event id or a kind. */
  other?: string | number;
  /** The person's own words. */
  comment?: string;
  /** Why, as a short code such as `outdated`, at most 100 characters. */
  reason?: string;
  /** An id of your own: sent twice, it is stored once, and `retract` can name it. */
  eventId?: string;
  /** When it happened: a date, or Unix seconds. Now by default. */
  at?: Date | number;
  /** Another collector than that of the latest `attach`. */
  endpoint?: string;
}

/** `recorded + adopted = kept + refused + dropped + queued`, always. */
export interface Stats {
  /** Signals made on this page. */
  recorded: number;
  /** Taken over from an earlier page that could not send them. */
  adopted: number;
  /** The collector has them. */
  kept: number;
  /** The collector will not have them, or they could not be signals. */
  refused: number;
  /** The oldest of more than 500 that were waiting. */
  dropped: number;
  /** Waiting. */
  queued: number;
  /** Requests made, and those that were not answered for. */
  requests: number;
  failures: number;
  /** Exceptions that did not reach the page. */
  errors: number;
}

/**
 * Watch `container` for everything that its `data-ragwheel-*` attributes name, now and later.
 * Never throws.
 *
 * @returns detach: report what was seen and stop watching. May be called more than once.
 */
export function attach(container?: Document | ShadowRoot | Element, options?: AttachOptions): () => void;

/**
 * Record one signal by hand. Never throws.
 *
 * @returns false when it cannot be one: no handle, no kind, or larger than 16 KB.
 */
export function signal(handle: string, kind: Kind, options?: SignalOptions): boolean;

/** As `signal`, taking back the vote that this one replaces: the other thumb, the former rating. Never throws. */
export function vote(handle: string, kind: Kind, options?: SignalOptions & { replace?: boolean }): boolean;

/** Take back every earlier signal of a kind about a chunk; without one, about the answer. Never throws. */
export function retract(handle: string, kind: Kind, options?: { chunk?: string | number; endpoint?: string }): boolean;

/** The source of a chunk is open, wherever that is: its reading time runs until `closed()`. Never throws. */
export function opened(handle: string, chunk: string | number, options?: { endpoint?: string }): void;

/** The source that is open was closed. Never throws. */
export function closed(): void;

/** `true`: record from now on; `false`: stop, and remove what waits. */
export function consent(given: boolean): void;

export type BeaconEvent =
  | { type: "signal"; handle: string; kind: Kind; event_id: string; [field: string]: unknown }
  | { type: "verdict"; event_id: string; status: "kept" | "refused" | "dropped"; reason?: string }
  | { type: "warning"; code: string; detail?: unknown; element?: Element }
  /** In debug mode: a warning in words, once for each cause. */
  | { type: "warned"; code: string; message: string; element?: Element };

/** Call `observer` with every signal, its verdict and every warning; returns what stops that. */
export function observe(observer: (event: BeaconEvent) => void): () => void;

/** Send now what is waiting; resolves to whether the collector has answered for all of it. Never rejects. */
export function flush(endpoint?: string): Promise<boolean>;

/** Counters of the outbox for `endpoint`, by default that of the latest `attach`. */
export function stats(endpoint?: string): Stats;
