import { z } from "zod";
import { Action } from "./action.js";
import { Image } from "./image.js";
import { Target } from "./target.js";

/** A catalogue document, told apart by `kind`. */
export const CatalogueDocument = z.discriminatedUnion("kind", [Target, Image, Action]);
export type CatalogueDocument = z.infer<typeof CatalogueDocument>;

export const KINDS = ["Target", "Image", "Action"] as const;
export type Kind = (typeof KINDS)[number];
