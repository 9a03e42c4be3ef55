import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";
import { READS, type Room } from "../../workers/effects.js";

const root = resolve(import.meta.dirname, "../..");

/** Where the watched objects' methods are declared. */
const DECLARED: Record<Room, [file: string, name: string][]> = {
  activity: [
    ["activities/contract.ts", "CentralActivities"],
    ["activities/contract.ts", "SiteActivities"],
  ],
  control: [["src/control/control.ts", "TargetControl"]],
  journal: [["src/site/journal.ts", "Journal"]],
  link: [["src/site/session-link.ts", "SessionLink"]],
  states: [["src/domain/session-states.ts", "SessionStates"]],
  power: [["src/control/control.ts", "Power"]],
  nextBoot: [["src/control/control.ts", "NextBoot"]],
  bootOrder: [["src/control/control.ts", "BootOrder"]],
  media: [["src/control/control.ts", "Media"]],
  catalogue: [["src/catalogue/catalogue.ts", "Catalogue"]],
  objects: [["src/stores/store.ts", "ObjectStore"]],
  agent: [["src/agent/gateway.ts", "AgentGateway"]],
};

/** Side effects that no session of the matrix has, each with the reason, or with the test that has them. */
export const NOT_A_SESSIONS: Record<string, string> = {
  "catalogue.apply": "an operator's document",
  "catalogue.delete": "an operator's document",
  "states.bringHome": "the reconciler's, after a session was lost: test/e2e/lost-sessions.deep.test.ts",
  "activity.awaitControl":
    "of what is away only, and a reading: cut off in test/simulation/absence.test.ts, run twice in twice.test.ts",
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
  const source = sourceOf(file);
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

const REDFISH = "src/control/redfish";

/** Where a control's methods are: its own, and those of its capabilities. */
export const CONTROL_ROOMS = ["control", "power", "nextBoot", "bootOrder", "media"] as const satisfies Room[];

/** What is written to BMCs, found in the code, so that none is forgotten. */
export interface BmcWrites {
  /** Methods of a control, and of its capabilities, that change something: `nextBoot.arm`. */
  methods: string[];
  /** Actions of Redfish: `ComputerSystem.Reset`. */
  actions: string[];
  /** Kinds of a reset: `ForceOff`. */
  resets: string[];
  /** File and function of each request that is no reading: `media.ts post`. */
  places: string[];
}

export function bmcWritesInCode(): BmcWrites {
  const actions = new Set<string>();
  const places = new Set<string>();
  for (const file of readdirSync(join(root, REDFISH)).filter((name) => name.endsWith(".ts"))) {
    const walk = (node: ts.Node, within: string): void => {
      const inner = isFunction(node) && node.name && ts.isIdentifier(node.name) ? node.name.text : within;
      if (ts.isStringLiteral(node) && /^#[A-Z]\w+\.[A-Z]\w+$/.test(node.text)) actions.add(node.text.slice(1));
      if (ts.isObjectLiteralExpression(node) && node.properties.some(mayWrite)) places.add(`${file} ${inner}`);
      ts.forEachChild(node, (child) => walk(child, inner));
    };
    walk(sourceOf(`${REDFISH}/${file}`), "");
  }
  return {
    methods: effectsInCode().filter((point) => CONTROL_ROOMS.some((room) => point.startsWith(`${room}.`))),
    actions: [...actions],
    resets: wordsOf("src/control/control.ts", "ResetKind"),
    places: [...places],
  };
}

const isFunction = (node: ts.Node): node is ts.FunctionDeclaration | ts.MethodDeclaration =>
  ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node);

/** `method: "PATCH"`, or a method that somebody else has chosen. */
function mayWrite(property: ts.ObjectLiteralElementLike): boolean {
  if (!property.name || !ts.isIdentifier(property.name) || property.name.text !== "method") return false;
  if (ts.isShorthandPropertyAssignment(property)) return true;
  return (
    ts.isPropertyAssignment(property) && ts.isStringLiteral(property.initializer) && property.initializer.text !== "GET"
  );
}

/** The words of a type that is one of several words. */
function wordsOf(file: string, name: string): string[] {
  const found = sourceOf(file).statements.find((one) => ts.isTypeAliasDeclaration(one) && one.name.text === name);
  const { type } = (found ?? {}) as Partial<ts.TypeAliasDeclaration>;
  if (!type || !ts.isUnionTypeNode(type)) throw new Error(`${file} has no words ${name} any more`);
  return type.types.flatMap((one) =>
    ts.isLiteralTypeNode(one) && ts.isStringLiteral(one.literal) ? [one.literal.text] : [],
  );
}

const sourceOf = (file: string): ts.SourceFile =>
  ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.ES2022);
