/** Begins it or ends it, for files below PITSTOP_DATA (as it is when this is loaded) and for connections; returns how often it was met. */
export function scarce(what: "disk" | "handles", is: boolean): number;
