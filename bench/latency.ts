/**
 * How long from the call that dispatches a job to the start of its handler? `npm run bench:latency`, which is the same as
 * `npm run bench -- --only latency`, with more to choose:
 *   -- --rate 100,1000    jobs a second, one or several (default: 100)
 *   -- --seconds 20       of each round; --rounds 3
 *   -- --only TEXT        systems whose name or setting has this in it
 *   -- --quick            one round of 3 s each, to try it out
 *   -- --profile FOLDER   CPU profiles of our broker
 *   -- --json FILE        the figures for a machine, too
 *
 * One producer process, one worker process that takes ten jobs at a time and does nothing.
 */
import { type Measure, writeMeasures } from "./harness/figures.ts";
import { openGround } from "./harness/ground.ts";
import { readOptions, wholeFrom } from "./harness/options.ts";
import { tablesOf } from "./harness/page.ts";
import { measureLatency } from "./measures/latency.ts";
import { latencySystems } from "./systems/latency-systems.ts";

const values = readOptions(import.meta.filename, {
  rate: { type: "string", default: "100" },
  seconds: { type: "string" },
  rounds: { type: "string" },
  only: { type: "string", default: "" },
  quick: { type: "boolean", default: false },
  profile: { type: "string" },
  json: { type: "string" },
});
const rates = values.rate.split(",").map((text) => wholeFrom(1, "--rate", text));
const seconds = wholeFrom(1, "--seconds", values.seconds ?? (values.quick ? "3" : "20"));
const rounds = wholeFrom(1, "--rounds", values.rounds ?? (values.quick ? "1" : "3"));
const systems = latencySystems(values.profile).filter(({ name, setting }) =>
  `${name} ${setting}`.includes(values.only),
);
const ground = await openGround();
try {
  const measures: Measure[] = [];
  for (const rate of rates) {
    measures.push(
      ...(await measureLatency(ground, systems, { rate, seconds, rounds, say: (line) => console.error(line) })),
    );
  }
  console.log(`\n${ground.machine}\n\n${tablesOf(measures)}\n\n${notes()}`);
  if (values.json !== undefined) writeMeasures(values.json, ground.machine, measures);
} finally {
  await ground.close();
}

function notes(): string {
  return [
    `The median of ${rounds} rounds of ${seconds} s (least–greatest), systems in turn, after a warm-up.`,
    "The time is taken before the call that dispatches and as the first thing in the handler, in two processes, by the",
    "machine's monotonic clock (process.hrtime). Postgres commits to disk (fsync, synchronous_commit on), for us and for",
    "graphile-worker, which has no server of its own; our broker logs each move at its default level, the others log",
    "nothing.",
  ].join("\n");
}
