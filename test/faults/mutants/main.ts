/**
 * Mutation controls of the fault programme: it must find each of the seeded bugs, and nothing without them.
 *   node test/faults/mutants/main.ts       all of them, one after the other
 *   --only NAME[,NAME]                     these alone
 *   --seed N                               the faults of an earlier run
 *   --lanes N                              so many at a time, 2 unless told
 *   --out FOLDER                           also mutants.md and mutants.json there
 *   --list                                 what there is
 * Exits 0 when all are caught, 1 when one is not, does not fit the code, or a cell fails without it, 2 on a wrong option.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isOptionFault, lanesOf, named, seedOf } from "../options.ts";
import { MUTANTS } from "./all.ts";
import { type Hunted, hunt } from "./hunt.ts";
import { BadPatch, type Mutant, mutated } from "./mutant.ts";
import { play } from "./programme.ts";
import { caughtBy, lineOf, type MutantsRun, mutantsJson, mutantsMarkdown } from "./report.ts";
import { PROJECT, Scratch } from "./scratch.ts";

interface Asked {
  mutants: Mutant[];
  seed: number;
  lanes: number;
  out: string | undefined;
  list: boolean;
}

class BrokenControl extends Error {}

function read(args: string[]): Asked {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string" },
      seed: { type: "string" },
      lanes: { type: "string", default: "2" },
      out: { type: "string" },
      list: { type: "boolean", default: false },
    },
  });
  const names = named(values.only, MUTANTS, "mutant");
  const seed = seedOf(values.seed);
  const lanes = lanesOf(values.lanes);
  const mutants = MUTANTS.filter(({ name }) => names?.includes(name) ?? true);
  return { mutants, seed, lanes, out: values.out, list: values.list };
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

/** The cells of these mutants, without a bug. */
async function control({ mutants, seed, lanes }: Asked, { folder }: Scratch, signal: AbortSignal): Promise<MutantsRun> {
  const cells = [...new Set(mutants.map(({ cell }) => cell))];
  const since = performance.now();
  const { held, said, errors, machine } = await play({ folder, cells, seed, lanes, signal });
  if (!held) throw new BrokenControl(`The cells do not hold without a bug:\n${said}${errors}`);
  const seconds = (performance.now() - since) / 1_000;
  say(`control: without a bug ${cells.join(", ")} hold, ${seconds.toFixed(1)} s`);
  return { seed, machine, control: { cells, seconds }, hunted: [] };
}

async function runAll(asked: Asked, folder: string, signal: AbortSignal): Promise<MutantsRun> {
  const { mutants, seed, lanes } = asked;
  const scratches = Array.from({ length: Math.min(lanes, mutants.length) }, (_, at) => {
    return new Scratch(join(folder, String(at + 1)));
  });
  const run = await control(asked, scratches[0] as Scratch, signal);
  const left = [...mutants];
  const found = new Map<Mutant, Hunted>();
  const inTurn = async (scratch: Scratch) => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const hunted = await hunt(mutant, scratch, seed, signal);
      found.set(mutant, hunted);
      say(lineOf(hunted));
    }
  };
  await Promise.all(scratches.map(inTurn));
  return { ...run, hunted: mutants.map((mutant) => found.get(mutant) as Hunted) };
}

async function main(asked: Asked, signal: AbortSignal): Promise<0 | 1> {
  const { mutants, seed, out } = asked;
  if (asked.list) {
    for (const { name, about } of mutants) say(`${name.padEnd(24)}  ${about}`);
    return 0;
  }
  for (const mutant of mutants) mutated(readFileSync(join(PROJECT, mutant.file), "utf8"), mutant);
  const folder = mkdtempSync(join(tmpdir(), "aibroker-mutants-"));
  say(`seed ${seed}, ${mutants.length} mutants, in ${folder}`);
  try {
    const run = await runAll(asked, folder, signal);
    const missed = run.hunted.filter((one) => caughtBy(one) === undefined).length;
    say(`\n${run.hunted.length - missed} caught, ${missed} missed`);
    if (out !== undefined) {
      mkdirSync(out, { recursive: true });
      writeFileSync(join(out, "mutants.md"), mutantsMarkdown(run));
      writeFileSync(join(out, "mutants.json"), `${JSON.stringify(mutantsJson(run), null, 2)}\n`);
    }
    return missed === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

// Ctrl-C reaches the fault programme, too, which ends what it has started.
const leaving = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => leaving.abort());
try {
  process.exitCode = await main(read(process.argv.slice(2)), leaving.signal);
} catch (error) {
  const isOption = isOptionFault(error);
  const isPlain = isOption || error instanceof BadPatch || error instanceof BrokenControl;
  if (!leaving.signal.aborted) process.stderr.write(`${isPlain ? (error as Error).message : (error as Error).stack}\n`);
  process.exitCode = leaving.signal.aborted ? 130 : isOption ? 2 : 1;
}
