export interface Found {
  seed: number;
  /** It was found before the later faults were there, and is played without them: with them it is another story. */
  first: boolean;
  name: string;
  was: string;
}

/** Seeds that once broke a promise, and what it was. They run in CI for ever. */
export const FOUND: Found[] = [
  {
    seed: 13,
    first: true,
    name: "a full disk and a second attempt",
    was: "an attempt whose journal write had failed was repeated, found the snapshot in memory and armed the target with it on no disk",
  },
  {
    seed: 48,
    first: true,
    name: "a full disk while arming",
    was: "the same for the arming, which the journal did not have",
  },
  {
    seed: 52,
    first: true,
    name: "home seen and then silent",
    was: "the site saw the target's own system answer, could not ask it again, and forced it off as if it were a silent image",
  },
  {
    seed: 118,
    first: true,
    name: "a lost session's entry",
    was: "a restore whose capture had failed was refused for ever by the entry that the lost session had left at the site",
  },
  {
    seed: 188,
    first: true,
    name: "rebooted while stranded",
    was: "a target that somebody rebooted while its session was stranded could never be proved home again",
  },
  {
    seed: 155,
    first: true,
    name: "asked to go twice",
    was: "a second shutdown that was given up was not watched for: its system answered once more, counted as home, and went off",
  },
  {
    seed: 1373,
    first: true,
    name: "a hello for a session that is no more",
    was: "another session held the target's lock, took the signal, and the image got a lease although its own session was terminated",
  },
  {
    seed: 2248,
    first: true,
    name: "a released target's old arming",
    was: "the boot server went on serving the image of a session that was terminated, after another one was released without having got to the site",
  },
  {
    seed: 2627,
    first: true,
    name: "an arming that does not show",
    was: "a BMC took the override and showed its old state: the arming failed, the restore saw nothing to do, and the target stayed armed",
  },
  {
    seed: 2957,
    first: true,
    name: "asked late",
    was: "the request to shut down was lost and sent again half a minute later; the watch for a late power-off counted from the first one",
  },
  {
    seed: 3074,
    first: true,
    name: "terminated while its target shuts down",
    was: "the session that brought the target home found its system still answering, which went off a moment later",
  },
  {
    seed: 4732,
    first: true,
    name: "switched on after it was refused",
    was: "a power cycle of a target that was off was refused after the capture, and its owner's power-on meanwhile taken for a stranger's",
  },
  {
    seed: 7120,
    first: true,
    name: "on, but not at once",
    was: "a target that was off was told to go on and showed it late: its session saw it off, said so, and ended before it went on",
  },
  {
    seed: 7244,
    first: true,
    name: "off, by its BMC's word",
    was: "a BMC said for a moment that a target was off which was not; its own system answered, and nobody asked it",
  },
  {
    seed: 1207,
    first: true,
    name: "a shutdown that the journal forgot",
    was: "the session that adopted a target did not hear that it had been asked to shut down before the journal was lost",
  },
  {
    seed: 839,
    first: true,
    name: "restored, although it was released",
    was: "a person released a lost session's target, and the reconciler, in between, wrote that nothing of it was left to bring home",
  },
  {
    seed: 21874,
    first: false,
    name: "off before, and home since",
    was: "a target that had been off was seen in its own system, could not be asked again, and was forced off like a silent image",
  },
  {
    seed: 94,
    first: false,
    name: "a reboot that nobody could read",
    was: "a signal whose text was no text cut the work short and made a record that is none",
  },
  {
    seed: 248,
    first: false,
    name: "done, says another boot",
    was: "what a boot said that never was the session's took the place of its own image's done and results",
  },
  {
    seed: 39,
    first: false,
    name: "found on when it was to be powered on",
    was: "a BMC said for a moment that a target was off which was shutting down; nobody had to power it on, and nobody watched it go off",
  },
  {
    seed: 31394,
    first: true,
    name: "an arming that neither shows nor goes",
    was: "a BMC takes the override and shows its old state, and ignores the change that clears it while it still shows the old one",
  },
  {
    seed: 304611,
    first: false,
    name: "a refusal that nobody heard",
    was: "a BMC refused the password, no word of that reached Temporal, and each attempt that came after it logged in once more",
  },
  {
    seed: 308981,
    first: false,
    name: "a refusal that nobody heard, in the proof",
    was: "the same, while a target's home was proved",
  },
  {
    seed: 305042,
    first: false,
    name: "terminated when it was home",
    was: "the judge took the snapshot of a session that had said restored, and whose catalogue was away, for an open one",
  },
  {
    seed: 303012,
    first: false,
    name: "home before nobody was told to go",
    was: "the judge did not know what a session that never wrote had seen of home, and asked for a stronger proof than there can be",
  },
  {
    seed: 405093,
    first: false,
    name: "the clocks jump while a system shuts down",
    was: "how much longer a shutdown that had failed midway was watched for was counted by clocks; they were set, and a system that was going counted as home",
  },
  {
    seed: 406704,
    first: false,
    name: "an old reading and a change that is ignored, twice over",
    was: "a BMC ignored the change that clears an override which it did not show, and nobody looked again before the target was powered on",
  },
  {
    seed: 401560,
    first: false,
    name: "off for one reading",
    was: "a BMC said for a moment that a system which was going down was off; that ended the watch over it, and it counted as home",
  },
  {
    seed: 303795,
    first: false,
    name: "a snapshot that only a plan has",
    was: "an abort came before a lost session's snapshot was taken over, the site's journal was lost, and its target was written to while neither site nor catalogue kept it",
  },
];

/** Seeds that break a promise still: what is known of each. A fixed one moves up into the list above. */
export const KNOWN: Found[] = [];
