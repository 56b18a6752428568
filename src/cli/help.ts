/** `help`, also for a command of a command: `help jobs list`. */
import type { Command } from "commander";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";

export function addHelp(program: Command): void {
  program
    .command("help")
    .description("Show the help of a command, for example: help jobs list.")
    .argument("[command...]", "the command")
    .action((words: string[]) => {
      const { command, path, rest } = commandOf(program, words);
      if (rest.length > 0) throw new CliError(EXIT.usage, `unknown command '${rest[0]}'\nSee: ${path} --help`);
      command.outputHelp();
    });
}

/** The command that a command line means as far as its words name one, how to call it, and the words after that. */
export function commandOf(program: Command, args: string[]): { command: Command; path: string; rest: string[] } {
  let command = program;
  let path = program.name();
  for (const [i, word] of args.entries()) {
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) return { command, path, rest: args.slice(i) };
    command = next;
    path += ` ${next.name()}`;
  }
  return { command, path, rest: [] };
}
