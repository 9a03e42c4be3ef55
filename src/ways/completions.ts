import type { Completion } from "./completion.js";
import { done } from "./done.js";
import { tasks } from "./tasks.js";

/** Every completion, by the mode of the actions that it ends. */
const COMPLETIONS: Record<Completion["mode"], Completion> = { active: tasks, passive: done };

export const completionOf = (mode: Completion["mode"]): Completion => COMPLETIONS[mode];
