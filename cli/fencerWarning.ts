import { listed } from "./print";

/** What fencers that are off mean for a user. */
export function fencerWarning(members: readonly string[]): string {
  return `${members.length === 1 ? "The fencer" : "Fencers"} of ${listed(members)} ${members.length === 1 ? "is" : "are"} off: this Docker does not give containers control groups of their own, which rootless Docker does with systemd and control groups version 2. A leader that dies is followed when its lease of 20 s has expired.`;
}
