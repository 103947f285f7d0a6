/** Kinds that every collector knows; an app registers its own with `ragwheel.signal_kind(...)`. */
export type Kind =
  | "impression" | "click" | "copy" | "expand" | "bookmark" | "dwell"
  | "thumbs_up" | "thumbs_down" | "rating" | "delete" | "more_like_this" | "prefer"
  | "reformulate" | "follow_up" | "abandon" | "convert"
  | (string & {});

export interface AttachOptions {
  /** Where the collector takes signals, relative to the page or on another origin. Default `/v1/signals`. */
  endpoint?: string;
  /** How long signals wait for others to share a request with, in milliseconds. Default 2,000. */
  batchMs?: number;
  /** Without a sign of life for this long nobody is reading: dwell stands still. Milliseconds, default 60,000. */
  idleMs?: number;
  /** Whether unsent signals may wait in localStorage for the next visit. Default true. */
  storage?: boolean;
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
  /** `prefer`: the chunk that lost; `reformulate`: the handle of the new turn or retrieval. */
  other?: string | number;
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

/** Send now what is waiting; resolves to whether the collector has answered for all of it. Never rejects. */
export function flush(endpoint?: string): Promise<boolean>;

/** Counters of the outbox for `endpoint`, by default that of the latest `attach`. */
export function stats(endpoint?: string): Stats;
