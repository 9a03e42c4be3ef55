import { parseArgs } from "node:util";
import { storm } from "./storm.js";

const { values } = parseArgs({
  options: {
    sessions: { type: "string", default: "500" },
    kills: { type: "string", default: "10" },
    every: { type: "string", default: "20" },
  },
});
const { broken, ...figures } = await storm({
  sessions: Number(values.sessions),
  kills: Number(values.kills),
  everyS: Number(values.every),
});
console.log(JSON.stringify(figures, null, 2));
for (const line of broken.slice(0, 200)) console.log(line);
console.log(`${figures.sessions} sessions, ${broken.length} things that the three witnesses do not agree on`);
process.exit(broken.length === 0 ? 0 : 1);
