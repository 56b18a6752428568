/** The demo's account: three books that must tell the same story. */
import { expect, test } from "vitest";
import { type Stored, settleAccount } from "../../src/cli/demo/account.ts";
import { Ledger } from "../../src/cli/demo/ledger.ts";

function move(ledger: Ledger, jobId: string, name: string, to: string, worker: string): void {
  ledger.logged("broker-1", JSON.stringify({ level: 30, move: name, job_id: jobId, to, worker, attempt: 1 }));
}

function run(
  ledger: Ledger,
  jobId: string,
  worker: string,
  from: number,
  to?: number,
  outcome = "DONE" as const,
): void {
  ledger.began(worker, jobId, from);
  if (to !== undefined) ledger.ended(worker, jobId, outcome, to);
}

/** Two jobs: one failed once, the other lost its worker and was in hand during the restart. */
function goodBooks(): { jobs: Stored[]; ledger: Ledger } {
  const ledger = new Ledger();
  move(ledger, "cut", "claim", "RUNNING", "legacy-1");
  ledger.began("legacy-1", "cut", 0);
  ledger.ended("legacy-1", "cut", "FAILED", 10);
  move(ledger, "cut", "report", "PENDING", "legacy-1");
  move(ledger, "cut", "claim", "RUNNING", "legacy-1");
  run(ledger, "cut", "legacy-1", 20, 30);
  move(ledger, "cut", "report", "DONE", "legacy-1");
  move(ledger, "read", "claim", "RUNNING", "ocr-1");
  run(ledger, "read", "ocr-1", 0);
  move(ledger, "read", "reclaim", "PENDING", "ocr-1");
  move(ledger, "read", "claim", "RUNNING", "ocr-2");
  run(ledger, "read", "ocr-2", 100, 200);
  move(ledger, "read", "report", "DONE", "ocr-2");
  ledger.restarts.push({ broker: "broker-1", atMs: 110, tookMs: 50 });
  const jobs = ["cut", "read"].map((jobId) => ({ jobId, name: jobId, status: "DONE", attempts: 2, deliveries: 2 }));
  return { jobs, ledger };
}

const mischief = { killed: ["ocr-1"], restarted: ["broker-1"] };

/** The faults of good books after something was done to them. */
function faultsAfter(change: (books: ReturnType<typeof goodBooks>) => void): string[] {
  const books = goodBooks();
  change(books);
  return settleAccount(books.jobs, books.ledger, mischief).faults;
}

test("good books give a clean account that counts everything", () => {
  const { jobs, ledger } = goodBooks();
  expect(settleAccount(jobs, ledger, mischief)).toEqual({
    jobs: 2,
    handOuts: 4,
    retries: 2,
    failedAttempts: 1,
    lostLeases: 1,
    returned: 0,
    restarts: ledger.restarts,
    faults: [],
  });
});

test("a job that was given back unworked has one delivery more, and no attempt", () => {
  const { jobs, ledger } = goodBooks();
  move(ledger, "read", "claim", "RUNNING", "ocr-2");
  move(ledger, "read", "release", "PENDING", "ocr-2");
  const changed = jobs.map((job) => (job.jobId === "read" ? { ...job, deliveries: 3 } : job));
  expect(settleAccount(changed, ledger, mischief)).toMatchObject({ returned: 1, handOuts: 5, faults: [] });
});

test("a job that two workers finished is a fault, though the database shows nothing of it", () => {
  const faults = faultsAfter(({ ledger }) => run(ledger, "read", "text-1", 110, 190));
  expect(faults).toContain("read: the workers finished it twice");
  expect(faults).toContain("read: 2 attempts, but the workers began it 3 times");
});

test("a hand-out that nobody accounts for is a fault", () => {
  expect(faultsAfter(({ ledger }) => move(ledger, "cut", "claim", "RUNNING", "ocr-2"))).toEqual([
    "cut: 2 deliveries, but 3 hand-outs in the logs",
    "cut: 3 hand-outs, but 1 done, 1 failed, 0 lost, 0 returned",
  ]);
});

test("an attempt that was burnt without a reason is a fault", () => {
  const faults = faultsAfter(({ jobs }) => {
    for (const job of jobs) job.attempts = 3;
  });
  expect(faults).toContain("read: 3 attempts, but 0 failed ones and 1 lost leases");
});

test("a job that is not DONE is a fault, also where nothing else is wrong with it", () => {
  const faults = faultsAfter(({ jobs }) => {
    for (const job of jobs.slice(1)) job.status = "PENDING";
  });
  expect(faults).toEqual(["read: it is PENDING"]);
});

test("a job that became DONE twice is a fault", () => {
  const faults = faultsAfter(({ ledger }) => move(ledger, "cut", "report", "DONE", "legacy-1"));
  expect(faults).toContain("cut: it became DONE twice in the logs");
});

test("only who was killed may lose a lease, and has to", () => {
  const { jobs, ledger } = goodBooks();
  const faults = (killed: string[]) => settleAccount(jobs, ledger, { ...mischief, killed }).faults;
  expect(faults([])).toEqual(["ocr-1 lost a lease, though nobody killed it"]);
  expect(faults(["ocr-1", "ocr-2"])).toContain("ocr-2 was killed, but lost no lease");
});

test("a restart between jobs proves nothing, nor does one in the middle of a killed worker's", () => {
  const idle = "broker-2 was restarted with no work under way";
  for (const atMs of [50, 200, 300]) {
    expect(faultsAfter(({ ledger }) => ledger.restarts.push({ broker: "broker-2", atMs, tookMs: 5 }))).toEqual([idle]);
  }
});

test("a broker that was to be restarted and was not is a fault", () => {
  const { jobs, ledger } = goodBooks();
  const account = settleAccount(jobs, ledger, { ...mischief, restarted: ["broker-1", "broker-2"] });
  expect(account.faults).toEqual(["broker-2 was not restarted"]);
});

test("the logs are read for what moved, and are settled when each hand-out has its end", () => {
  const ledger = new Ledger();
  expect(ledger.isSettled()).toBe(false);
  ledger.logged("broker-1", "ai-job-broker 0.1.0 listening on http://127.0.0.1:1");
  ledger.logged("broker-1", JSON.stringify({ msg: "worker ocr-1 opened a stream" }));
  move(ledger, "read", "dispatch", "PENDING", "");
  move(ledger, "read", "claim", "RUNNING", "ocr-1");
  expect(ledger.isSettled()).toBe(false);
  move(ledger, "read", "release", "PENDING", "ocr-1");
  expect(ledger.isSettled()).toBe(true);
  expect(ledger.moves).toHaveLength(3);
});

test("whoever waits for a run gets the first that fits, and only what begins from now on", async () => {
  const ledger = new Ledger();
  run(ledger, "read", "ocr-1", 1);
  const next = ledger.nextRun(({ jobId }) => jobId === "read");
  run(ledger, "cut", "legacy-1", 2);
  run(ledger, "read", "ocr-2", 3);
  expect(await next).toMatchObject({ worker: "ocr-2", begunAtMs: 3 });
});
