import type { Command } from "commander";
import { type Config, loadConfig } from "../../config.js";
import { EXIT } from "../exit.js";
import type { Io } from "../io.js";

/**
 * `serve` and `lab` are processes of their own (workers/), loaded only here and only when they are asked for: every other
 * command is a client that starts in a moment.
 */
export function processCommands(program: Command, io: Io, run: (work: () => Promise<number>) => Promise<void>): void {
  program
    .command("serve")
    .description("run the operations server: API, sessions and site")
    .option("--roles <list>", "only these of api, sessions and site, with commas between them (PITSTOP_ROLES)")
    .action(({ roles }: { roles?: string }) =>
      run(async () => {
        const env = roles === undefined ? io.env : { ...io.env, PITSTOP_ROLES: roles };
        const config = loadConfig(env, io.cwd);
        const { serve } = await load<{ serve(config: Config): Promise<number | undefined> }>("serve");
        return (await serve(config)) ?? EXIT.done;
      }),
    );

  program
    .command("lab")
    .description("run machines and BMCs to rehearse on; pitstop lab --help has its own options")
    .helpOption(false)
    .allowUnknownOption()
    .argument("[arguments...]")
    .action((args: string[]) =>
      run(async () => {
        const { lab } = await load<{ lab(argv: string[]): Promise<number | undefined> }>("lab");
        return (await lab(args)) ?? EXIT.done;
      }),
    );
}

const load = async <Module>(name: string): Promise<Module> =>
  (await import(new URL(`../../../workers/${name}.js`, import.meta.url).href)) as Module;
