export interface Mutation {
  /** The promise that it breaks. */
  promise: number;
  name: string;
  file: string;
  /** Text that is in the file exactly once, and what is put in its place. */
  from: string;
  to: string;
  /** A seed that finds it. */
  seed: number;
}
export const MUTATIONS: Mutation[];
