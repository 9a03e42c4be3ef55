import fc from "fast-check";
import { seed } from "./tier.js";

/** Imported where `fc.assert` is called: fast-check would draw a seed of its own. What a call says itself wins. */
fc.configureGlobal({ seed });
