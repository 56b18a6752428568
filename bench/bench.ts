/**
 * How fast is it, beside what else one could take? `npm run bench`
 *   -- --quick          small counts, one round, under 4 minutes: to try it out, and to see a large drop
 *   -- --only NAME      measures whose name has this in it, several by commas: drain (enqueue and ceiling with
 *                    it), flow, latency, unary, shim, backlog, payload, settings, held snapshot, scale
 *   -- --alone          the broker without its peers (drain, flow, latency, held snapshot)
 *   -- --rounds 3
 *   -- --json FILE      the figures for a machine
 *   -- --out FOLDER     bench.json, bench.md and bench.svg
 *   -- --compare FILE   an earlier JSON: the ratios to the peers then and now, and what has dropped by more than 15 %
 *
 * Sets everything up by itself: an embedded Postgres that commits to disk, the broker as a process of its own with its
 * default settings, worker and producer as two more. graphile-worker and pg-boss run in the worker's and the producer's
 * process, as they do for their users, each by the best of a few settings (measures/best-setting.ts). All systems in turn,
 * round after round. CPU by process, WAL and memory at its end come with each measure.
 */
import { readFileSync } from "node:fs";
import { compareFigures, type Recorded } from "./harness/compare.ts";
import { type Measure, markdown, writeMeasures } from "./harness/figures.ts";
import { openGround } from "./harness/ground.ts";
import { readOptions, refuse, wholeFrom } from "./harness/options.ts";
import { tablesOf, writeAll } from "./harness/page.ts";
import { MEMORY } from "./harness/used.ts";
import { backlog } from "./measures/backlog.ts";
import { shim, unary } from "./measures/calls.ts";
import { heldSnapshot } from "./measures/held-snapshot.ts";
import { latency } from "./measures/latency.ts";
import type { BenchContext, BenchMeasure } from "./measures/measure.ts";
import { scale } from "./measures/scale.ts";
import { drain, flow } from "./measures/throughput.ts";
import { payload, settings } from "./measures/variants.ts";

const MEASURES: BenchMeasure[] = [drain, flow, latency, unary, shim, backlog, payload, settings, heldSnapshot, scale];

const values = readOptions(import.meta.filename, {
  quick: { type: "boolean", default: false },
  only: { type: "string" },
  alone: { type: "boolean", default: false },
  rounds: { type: "string" },
  json: { type: "string" },
  out: { type: "string" },
  compare: { type: "string" },
});
const wanted = values.only?.split(",");
/** Whoever asks for these gets all measures, since each has them. */
const WITH_EACH = [MEMORY, "CPU per job", "WAL per job"];
const namesOf = ({ name, also = [] }: BenchMeasure) => [name, ...also, ...WITH_EACH];
const chosen = MEASURES.filter(
  (measure) => wanted?.some((part) => namesOf(measure).some((name) => name.includes(part))) ?? true,
);
if (chosen.length === 0) refuse(`--only takes some of ${[...new Set(MEASURES.flatMap(namesOf))].join(", ")}`);
const rounds = wholeFrom(1, "--rounds", values.rounds ?? (values.quick ? "1" : "3"));
// Read now: a file that is not there should not be found out after an hour.
const earlier =
  values.compare === undefined ? undefined : (JSON.parse(readFileSync(values.compare, "utf8")) as Recorded);

const ground = await openGround();
const beganMs = performance.now();
try {
  const measures: Measure[] = [];
  const say = (line: string) => console.error(`${clock()}  ${line}`);
  const context: BenchContext = { ground, rounds, quick: values.quick, alone: values.alone, say };
  console.log(ground.machine);
  for (const measure of chosen) {
    const found = await measure.run(context);
    measures.push(...found);
    console.log(`\n${measure.name}: ${measure.about}\n\n${tablesOf(found)}`);
  }
  if (values.json !== undefined) writeMeasures(values.json, ground.machine, measures);
  if (values.out !== undefined) writeAll(values.out, ground.machine, measures);
  if (earlier !== undefined) console.log(`\n${compared(earlier, measures)}`);
} finally {
  await ground.close();
}

function compared(before: Recorded, now: Measure[]): string {
  const rows = compareFigures(before.measures, now).map(({ measure, peer, was, is, dropped }) => [
    `${measure} against ${peer}`,
    `${was.toFixed(2)}x`,
    `${is.toFixed(2)}x`,
    dropped ? "dropped" : "",
  ]);
  return markdown(["ratio", `then (${before.commit})`, "now", ""], rows);
}

/** Since the start, as minutes and seconds. */
function clock(): string {
  const seconds = Math.round((performance.now() - beganMs) / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
