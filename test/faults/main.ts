/**
 * The fault programme: real processes, a network of our own, and everything that goes wrong with them.
 *   node test/faults/main.ts               each cell for a few seconds, about three minutes in all
 *   node test/faults/main.ts --full        each cell with at least 10,000 jobs and 200 faults
 *   --only NAME[,NAME]                     these cells alone
 *   --part K/N                             of all cells in N parts the Kth
 *   --lanes N                              so many cells at a time, 3 unless told; they share the machine and a Postgres
 *   --seed N                               the faults of an earlier run
 *   --out FOLDER                           also report.md and report.json there, written anew after each cell; docs/proof
 *                                          for a full run of all cells, unless told
 *   --add                                  the report that is there already keeps the cells that are not played now
 *   --list                                 what there is
 * Exits 0 when no rule is broken, 1 when one is, 2 on a wrong option.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Cell } from "./cell.ts";
import { CELLS } from "./cells/all.ts";
import { clearAway, makeFolder, openCluster } from "./ground.ts";
import { isOptionFault, lanesOf, named, partOf, seedOf, WrongOption } from "./options.ts";
import { failureText, inOrder, isBad, type Report, type Run, reportMarkdown, reportOf, tableText } from "./report.ts";
import { type Outcome, runCell } from "./run-cell.ts";
import { Stage } from "./stage.ts";

interface Asked {
  cells: Cell[];
  seed: number;
  full: boolean;
  lanes: number;
  out: string | undefined;
  add: boolean;
  list: boolean;
}

function read(args: string[]): Asked {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string" },
      seed: { type: "string" },
      part: { type: "string", default: "1/1" },
      lanes: { type: "string", default: "3" },
      out: { type: "string" },
      add: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
    },
  });
  const names = named(values.only, CELLS, "cell");
  const seed = seedOf(values.seed);
  const lanes = lanesOf(values.lanes);
  const chosen = CELLS.filter(({ name, hidden }) => (names === undefined ? hidden !== true : names.includes(name)));
  const cells = partOf(chosen, values.part);
  const out = values.out ?? (values.full && names === undefined ? PUBLISHED : undefined);
  return { cells, seed, full: values.full, lanes, out, add: values.add, list: values.list };
}

const PUBLISHED = resolve(import.meta.dirname, "../../docs/proof");

const say = (line: string) => void process.stdout.write(`${line}\n`);
/** Progress is for a person who waits. */
const progress = (line: string) => void process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : "");

/** `told` hears of the run after each cell. */
async function runAll({ cells, seed, full, lanes }: Asked, folder: string, told: (run: Run) => void): Promise<Run> {
  const run: Run = { seed, full, postgres: "", outcomes: [], skipped: [] };
  const ground = await openCluster(join(folder, "ground"));
  run.postgres = ground.version;
  const left = [...cells];
  const stages = Array.from({ length: Math.min(lanes, cells.length) }, (_, at) => {
    return new Stage({ name: `s${at + 1}`, folder, seed, alone: full }, ground);
  });
  try {
    await Promise.all(stages.map((stage) => runInTurn(left, run, stage, told)));
  } finally {
    await Promise.all(stages.map((stage) => stage.close()));
    await ground.stop();
  }
  return { ...run, outcomes: inOrder(run.outcomes), skipped: inOrder(run.skipped) };
}

/** Takes cells from what is left, those first that can be played in the world that is open. */
async function runInTurn(left: Cell[], run: Run, stage: Stage, told: (run: Run) => void): Promise<void> {
  for (let cell = stage.pick(left); cell !== undefined; cell = stage.pick(left)) {
    const why = await cell.unable?.();
    if (why === undefined) run.outcomes.push(await runOne(cell, run, stage));
    else run.skipped.push({ cell: cell.name, why });
    if (why !== undefined) say(`skip   ${cell.name}: ${why}`);
    told(run);
  }
}

async function runOne(cell: Cell, { seed, full }: Run, stage: Stage): Promise<Outcome> {
  progress(`${cell.name}: ${cell.about}`);
  const outcome = await stage
    .worldFor(cell)
    .then((world) => runCell(cell, world, { seed, full, say: progress }))
    .catch((error: unknown) => broken(cell, error));
  progress("");
  const { jobs, faults, notes } = outcome;
  const bad = isBad(outcome);
  say(`${bad ? "BROKEN" : "ok    "} ${cell.name}: ${jobs} jobs, ${faults} faults; ${notes.join("; ")}`);
  if (!bad) return outcome;
  // What comes next begins anew.
  const kept = await stage.close(true);
  say(`${failureText(outcome, { seed, full })}\nIts history, logs and rows are in ${kept}.`);
  return outcome;
}

/** A cell that could not be brought to its end has held nothing. */
function broken({ name }: Cell, error: unknown): Outcome {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const none = { jobs: 0, faults: 0, lost: 0, repeated: 0, seconds: 0, recoverMs: undefined, verdict: undefined };
  return { cell: name, ...none, violations: 1, notes: [], faultsFound: [what] };
}

/** Writes the report, where one is wanted: a run of an hour that is broken off has its cells all the same. */
function reporter({ out, add, full }: Asked): (run: Run) => void {
  if (out === undefined) return () => undefined;
  const [json, markdown] = [join(out, "report.json"), join(out, "report.md")];
  // Read each time: another run may add to it, too.
  const earlier = () => {
    if (!add || !existsSync(json)) return undefined;
    const report = JSON.parse(readFileSync(json, "utf8")) as Report;
    if (report.full === full) return report;
    throw new WrongOption(`--add: ${json} is of a ${full ? "quick" : "full"} run, and this is none`);
  };
  earlier();
  mkdirSync(out, { recursive: true });
  return (run) => {
    const report = reportOf(run, earlier());
    writeFileSync(markdown, reportMarkdown(report));
    writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  };
}

async function main(asked: Asked): Promise<0 | 1> {
  if (asked.list) {
    for (const { name, about } of asked.cells) say(`${name.padEnd(22)}  ${about}`);
    return 0;
  }
  const folder = makeFolder();
  // Some twenty processes a cell compile the same modules.
  process.env["NODE_COMPILE_CACHE"] ??= join(folder, "compiled");
  say(`seed ${asked.seed}, in ${folder}`);
  const run = await runAll(asked, folder, reporter(asked));
  say(`\n${tableText(run)}`);
  if (!run.outcomes.some(isBad)) clearAway(folder);
  return run.outcomes.some(isBad) ? 1 : 0;
}

let code: number;
try {
  code = await main(read(process.argv.slice(2)));
} catch (error) {
  const isOurs = isOptionFault(error);
  process.stderr.write(`${isOurs ? (error as Error).message : (error as Error).stack}\n`);
  code = isOurs ? 2 : 1;
}
// Left to end by itself, Node 26 turns in circles for a minute while it frees the connections that were reset.
process.exit(code);
