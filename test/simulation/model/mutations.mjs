export const MUTATIONS = [];
