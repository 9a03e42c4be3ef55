export interface Found {
  seed: number;
  name: string;
  was: string;
}

/** Seeds that once broke a promise, and what it was. They run in CI for ever. */
export const FOUND: Found[] = [
  {
    seed: 13,
    name: "a full disk and a second attempt",
    was: "an attempt whose journal write had failed was repeated, found the snapshot in memory and armed the target with it on no disk",
  },
  { seed: 48, name: "a full disk while arming", was: "the same for the arming, which the journal did not have" },
  {
    seed: 52,
    name: "home seen and then silent",
    was: "the site saw the target's own system answer, could not ask it again, and forced it off as if it were a silent image",
  },
  {
    seed: 118,
    name: "a lost session's entry",
    was: "a restore whose capture had failed was refused for ever by the entry that the lost session had left at the site",
  },
  {
    seed: 188,
    name: "rebooted while stranded",
    was: "a target that somebody rebooted while its session was stranded could never be proved home again",
  },
];

/** Seeds that break a promise still: what is known of each. A fixed one moves up into the list above. */
export const KNOWN: Found[] = [];
