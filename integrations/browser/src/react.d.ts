import type { ComponentPropsWithoutRef, ElementType, ReactElement, ReactNode } from "react";

import type { AttachOptions, Kind, SignalOptions } from "./ragwheel.js";

type Props<Own, Tag extends ElementType> = Own & { as?: Tag; children?: ReactNode } & Omit<ComponentPropsWithoutRef<Tag>, keyof Own | "as" | "children">;

/** Everything inside is about one turn or retrieval; watches the document while it is mounted. */
export function Turn<Tag extends ElementType = "div">(
  props: Props<{ handle: string | undefined; options?: AttachOptions }, Tag>,
): ReactElement;

/** A card of one chunk. */
export function Source<Tag extends ElementType = "article">(props: Props<{ chunk: string | number }, Tag>): ReactElement;

/** `<ragwheel-feedback>` for the turn or source around it; `answer`: about the answer even inside a source. */
export function Feedback(props: { answer?: boolean; reasons?: string; [attribute: string]: unknown }): ReactElement;

export interface Ragwheel {
  handle: string | undefined;
  /** Inside a `<Source>`. */
  chunk: string | number | undefined;
  signal(kind: Kind, options?: SignalOptions): boolean;
  /** As `signal`, taking back the vote that this one replaces. */
  vote(kind: Kind, options?: SignalOptions): boolean;
  retract(kind: Kind, options?: { chunk?: string | number }): boolean;
  opened(chunk?: string | number): void;
  closed(): void;
}

/** Functions about the turn, and the source, that a component is in. */
export function useRagwheel(): Ragwheel;
