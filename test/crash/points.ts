import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import ts from "typescript";
import { READS, type Room } from "../../workers/effects.js";

/** Where the watched objects' methods are declared. */
const DECLARED: Record<Room, [file: string, name: string][]> = {
  activity: [
    ["activities/contract.ts", "CentralActivities"],
    ["activities/contract.ts", "SiteActivities"],
  ],
  control: [["src/control/control.ts", "TargetControl"]],
  journal: [["src/boot/journal.ts", "Journal"]],
  link: [["src/boot/site.ts", "SessionLink"]],
  fates: [["src/domain/fates.ts", "SessionFates"]],
  catalogue: [["src/catalogue/catalogue.ts", "Catalogue"]],
  objects: [["src/stores/store.ts", "ObjectStore"]],
  agent: [["src/agent/gateway.ts", "AgentGateway"]],
};

/** Side effects that no session of the matrix has, each with the reason, or with the test that has them. */
export const NOT_A_SESSIONS: Record<string, string> = {
  "catalogue.apply": "an operator's document",
  "catalogue.delete": "an operator's document",
  "fates.bringHome": "the reconciler's, after a session was lost: test/e2e/lost-sessions.test.ts",
  "agent.resume": "the start of a process, which each death of a server brings about",
  "agent.close": "the end of a process",
  "agent.offer": "handed to the site's activities unwrapped: activity.offerTask stands around it",
  "agent.finish": "handed to the site's activities unwrapped: activity.ensureOff stands around it",
  "agent.bootEnded": "handed to the site's activities unwrapped: activity.restoreBoot stands around it",
  "agent.closed": "handed to the site's activities unwrapped: activity.closeSite stands around it",
  "agent.rebooted": "told by the boot script: link.rebooted and journal.save are its effects",
};

/** Each method of a watched object that is no reading, as `room.method`: found in the code, so that none is forgotten. */
export function effectsInCode(): string[] {
  return (Object.keys(READS) as Room[]).flatMap((room) =>
    DECLARED[room]
      .flatMap(([file, name]) => methodsOf(file, name))
      .filter((method) => !(READS[room] as readonly string[]).includes(method))
      .map((method) => `${room}.${method}`),
  );
}

/** Public methods of an interface or a class; what is private or static is nobody else's. */
function methodsOf(file: string, name: string): string[] {
  const text = readFileSync(resolve(import.meta.dirname, "../..", file), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022);
  const found = source.statements.find(
    (one) => (ts.isInterfaceDeclaration(one) || ts.isClassDeclaration(one)) && one.name?.text === name,
  ) as ts.InterfaceDeclaration | ts.ClassDeclaration | undefined;
  if (!found) throw new Error(`${file} has no ${name} any more; correct where its methods are declared`);
  const members = found.members as ts.NodeArray<ts.TypeElement | ts.ClassElement>;
  return members.flatMap((member) => {
    if (!ts.isMethodSignature(member) && !ts.isMethodDeclaration(member)) return [];
    const isStatic =
      ts.isMethodDeclaration(member) && member.modifiers?.some((m) => m.kind === ts.SyntaxKind.StaticKeyword);
    return ts.isIdentifier(member.name) && !isStatic ? [member.name.text] : [];
  });
}
