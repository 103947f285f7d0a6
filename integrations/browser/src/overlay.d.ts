/** Outline the cards and list the signals with their verdicts; returns what removes it. */
export function overlay(): () => void;
