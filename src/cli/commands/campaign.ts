import { type Command, InvalidArgumentError, Option } from "commander";
import type { PitstopClient } from "../../api/client.js";
import { PitstopError } from "../../domain/errors.js";
import { connect, whoAsks } from "../client.js";
import { EXIT } from "../exit.js";
import type { Io } from "../io.js";
import { ago, type Column, type Format, facts, paint, plain, structured, table, when } from "../output.js";
import { pairInto } from "../words.js";
import { formatOption, sessionColumns } from "./catalogue.js";

interface StartOptions {
  action: string;
  select?: string;
  image?: string;
  param?: Record<string, string>;
  atOnce: number;
  onBusy: "fail" | "skip" | "wait";
  json?: boolean;
}

export function campaignCommands(program: Command, io: Io, run: (work: () => Promise<number>) => Promise<void>): void {
  const campaign = program.command("campaign").description("one action over many targets");

  campaign
    .command("start")
    .description("start one; it brings every target home, or announces it as stranded")
    .argument("[target...]", "or those that --select matches")
    .requiredOption("-a, --action <name>", "what to do on each")
    .option("-l, --select <selector>", "targets with these labels: key=value,key=value")
    .option("--image <name>", "boot this image rather than the action's own")
    .option("--param <key=value>", "a parameter of the action; may be repeated", pairInto)
    .option("--at-once <number>", "sessions in flight at once", wholeNumber, 20)
    .addOption(
      new Option("--on-busy <what>", "when a target has a session already")
        .choices(["fail", "skip", "wait"])
        .default("fail"),
    )
    .option("--json", "print its id as JSON")
    .action((targets: string[], options: StartOptions) => run(() => start(io, targets, options)));

  campaign
    .command("list")
    .description("those that run or have run, newest first")
    .addOption(formatOption())
    .action((options: { output?: Format }) => run(() => list(io, options.output)));

  campaign
    .command("show")
    .description("how far it is")
    .argument("<id>")
    .addOption(formatOption())
    .option("--json", "the same as -o json")
    .action((id: string, options: { output?: Format; json?: boolean }) =>
      run(() => show(io, id, options.json ? "json" : options.output)),
    );
}

function wholeNumber(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError("Give a whole number.");
  return Number(text);
}

async function start(io: Io, targets: string[], options: StartOptions): Promise<number> {
  if ((targets.length === 0) === (options.select === undefined)) {
    throw new PitstopError(
      "invalid",
      "Name the targets of the campaign, or select them with --select key=value, and not both.",
    );
  }
  const { id } = await connect(io).startCampaign({
    ...(options.select === undefined ? { targets } : { select: options.select }),
    ...(options.image === undefined ? {} : { image: options.image }),
    action: options.action,
    params: options.param ?? {},
    requestedBy: whoAsks(io),
    atOnce: options.atOnce,
    onBusy: options.onBusy,
  });
  io.out(
    options.json
      ? structured({ id }, "json")
      : `campaign ${id} started; follow it with "pitstop campaign show ${id}".\n`,
  );
  return EXIT.done;
}

async function list(io: Io, format: Format | undefined): Promise<number> {
  const { items } = await connect(io).campaigns();
  if (format) io.out(structured(items, format));
  else io.out(items.length === 0 ? "no campaigns\n" : table(io, campaignColumns, items));
  return EXIT.done;
}

type Listed = Awaited<ReturnType<PitstopClient["campaigns"]>>["items"][number];

const campaignColumns: Column<Listed>[] = [
  { title: "CAMPAIGN", cell: (c) => c.id },
  { title: "STATE", cell: (c) => (c.running ? "running" : "ended") },
  { title: "STARTED", cell: (c) => ago(c.startedAt) },
];

async function show(io: Io, id: string, format: Format | undefined): Promise<number> {
  const campaign = await connect(io).campaign(id);
  if (format) {
    io.out(structured(campaign, format));
    return EXIT.done;
  }
  const { sessions } = campaign;
  const count = (test: (session: (typeof sessions)[number]) => boolean) => sessions.filter(test).length;
  const home = count((s) => s.ending === "restored");
  const stranded = count((s) => s.phase === "stranded");
  const waiting = count((s) => s.waitingFor !== null);
  const pairs: [string, string][] = [
    ["campaign", campaign.id],
    ["started", when(campaign.startedAt)],
    ["state", campaign.running ? "running" : `ended ${campaign.endedAt ? when(campaign.endedAt) : ""}`],
    [
      "sessions",
      `${sessions.length}: ${home} home, ${stranded > 0 ? paint(io, "red", `${stranded} stranded`) : "none stranded"}${waiting > 0 ? `, ${waiting} waiting for what is away` : ""}`,
    ],
  ];
  if (campaign.failure) pairs.push(["failure", plain(campaign.failure)]);
  io.out(facts(io, pairs));
  if (sessions.length > 0) io.out(`\n${table(io, sessionColumns, sessions)}`);
  return EXIT.done;
}
