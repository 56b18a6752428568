/**
 * The account at the end: three books that know nothing of each other (the database, the brokers' logs, the workers'
 * runs) must tell the same story of every job. A pure function.
 */
import { isHandOut, type Ledger, type Restart, type Run } from "./ledger.ts";

/** A job as the database has it. */
export interface Stored {
  jobId: string;
  /** For people, for example "ocr of math". */
  name: string;
  status: string;
  attempts: number;
  deliveries: number;
}

export interface Account {
  jobs: number;
  handOuts: number;
  /** Attempts beyond the first. */
  retries: number;
  failedAttempts: number;
  lostLeases: number;
  /** Handed out and given back unworked. */
  returned: number;
  restarts: Restart[];
  /** One line for each thing that is not as it should be; empty when the account is clean. */
  faults: string[];
}

/** What was done on purpose, by name. */
export interface Mischief {
  /** Workers that were killed: they alone may lose a lease, and must. */
  killed: string[];
  /** Brokers that were restarted. */
  restarted: string[];
}

export function settleAccount(jobs: Stored[], ledger: Ledger, { killed, restarted }: Mischief): Account {
  const tallies = jobs.map((job) => tallyOf(job, ledger));
  const sum = (key: "handOuts" | "failed" | "lost" | "returned") => tallies.reduce((all, tally) => all + tally[key], 0);
  return {
    jobs: jobs.length,
    handOuts: sum("handOuts"),
    retries: jobs.reduce((all, { attempts }) => all + attempts - 1, 0),
    failedAttempts: sum("failed"),
    lostLeases: sum("lost"),
    returned: sum("returned"),
    restarts: ledger.restarts,
    faults: [
      ...tallies.flatMap(jobFaults),
      ...leaseFaults(ledger, killed),
      ...restartFaults(ledger, killed, restarted),
    ],
  };
}

interface Tally {
  job: Stored;
  /** From the logs. */
  handOuts: number;
  done: number;
  failed: number;
  lost: number;
  returned: number;
  /** Of handlers. */
  runs: Run[];
}

function tallyOf(job: Stored, ledger: Ledger): Tally {
  const moves = ledger.moves.filter(({ jobId }) => jobId === job.jobId);
  const count = (move: string, to?: string) =>
    moves.filter((one) => one.move === move && (to === undefined || one.to === to)).length;
  const done = count("report", "DONE");
  return {
    job,
    handOuts: moves.filter(isHandOut).length,
    done,
    failed: count("report") - done,
    lost: count("reclaim"),
    returned: count("release"),
    runs: ledger.runs.filter(({ jobId }) => jobId === job.jobId),
  };
}

function jobFaults({ job, handOuts, done, failed, lost, returned, runs }: Tally): string[] {
  const finished = runs.filter(({ end }) => end?.outcome === "DONE").length;
  const broken = runs.filter(({ end }) => end?.outcome === "FAILED").length;
  const rules: [holds: boolean, fault: string][] = [
    [job.status === "DONE", `it is ${job.status}`],
    [finished === 1, `the workers finished it ${times(finished)}`],
    [done === 1, `it became DONE ${times(done)} in the logs`],
    [handOuts === job.deliveries, `${job.deliveries} deliveries, but ${handOuts} hand-outs in the logs`],
    [
      handOuts === done + failed + lost + returned,
      `${handOuts} hand-outs, but ${done} done, ${failed} failed, ${lost} lost, ${returned} returned`,
    ],
    [job.attempts === 1 + failed + lost, `${job.attempts} attempts, but ${failed} failed ones and ${lost} lost leases`],
    [runs.length === job.attempts, `${job.attempts} attempts, but the workers began it ${times(runs.length)}`],
    [broken === failed, `${failed} failed attempts, but the workers failed it ${times(broken)}`],
  ];
  return rules.flatMap(([holds, fault]) => (holds ? [] : [`${job.name}: ${fault}`]));
}

function leaseFaults({ moves }: Ledger, killed: string[]): string[] {
  const losers = moves.filter(({ move }) => move === "reclaim").map(({ worker }) => worker);
  const innocent = losers.filter((worker) => !killed.includes(worker));
  return [
    ...killed.filter((worker) => !losers.includes(worker)).map((worker) => `${worker} was killed, but lost no lease`),
    ...innocent.map((worker) => `${worker || "a worker"} lost a lease, though nobody killed it`),
  ];
}

/** A restart proves something only if it came in the middle of work that went on. */
function restartFaults({ restarts, runs }: Ledger, killed: string[], restarted: string[]): string[] {
  const outlived = ({ atMs }: Restart) =>
    runs.some(
      ({ worker, begunAtMs, end }) =>
        !killed.includes(worker) && begunAtMs <= atMs && end?.outcome === "DONE" && end.atMs > atMs,
    );
  const missing = restarted.filter((name) => !restarts.some(({ broker }) => broker === name));
  return [
    ...missing.map((name) => `${name} was not restarted`),
    ...restarts
      .filter((restart) => !outlived(restart))
      .map(({ broker }) => `${broker} was restarted with no work under way`),
  ];
}

function times(count: number): string {
  return count === 1 ? "once" : count === 2 ? "twice" : `${count} times`;
}
