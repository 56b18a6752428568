import type { Page } from "playwright-core";
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { test, texts } from "./visit.ts";
import { claim, fail, finish } from "./work.ts";

const CELLS = ["due", "scheduled", "running", "done", "failed", "oldest", "wait", "run", "empty"] as const;
const TILES = ["allDue", "allRunning", "allDone", "allFailed", "allOldest", "allEmpty"] as const;
type Cells = Record<(typeof CELLS)[number], RegExp>;
type Tiles = Record<(typeof TILES)[number], RegExp>;

/** One of them, or a little less when a minute begins just then. */
const IN_A_MINUTE = /^(1|0\.\d+)$/;
/** p50 / p95 */
const PAIR = /^[\d.]+ m?s \/ [\d.]+ m?s$/;

async function cellsOf(page: Page, type: string): Promise<Record<keyof Cells, string>> {
  const row = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: type }) });
  return named(CELLS, await row.getByRole("cell").allInnerTexts());
}

async function tilesOf(page: Page): Promise<Record<keyof Tiles, string>> {
  return named(TILES, await texts(page, ".tile-value"));
}

function named<Name extends string>(names: readonly Name[], found: readonly string[]): Record<Name, string> {
  return Object.fromEntries(names.map((name, at) => [name, found[at] ?? ""])) as Record<Name, string>;
}

test("an empty queue says what to do, with a command to copy", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url);
  await page.getByText("No jobs yet").waitFor();
  expect((await texts(page, ".command code"))[0]).toMatch(/^npx ai-job-broker dispatch ocr /);
  await page.getByRole("button", { name: "Copy the command" }).click();
  await page.getByText("Copied").waitFor();
});

test("what happens to jobs shows in the numbers, without a reload", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page, calls } = await visit(broker.url);
  await page.getByText("No jobs yet").waitFor();
  // Twelve a minute in the last five, so that the end of its queue can be foretold.
  await db.sql`
    INSERT INTO ai_history (step_s, at, job_type, dispatched, started, retrying, done, failed, cancelled, waited, ran)
    VALUES (60, date_trunc('minute', now()) - interval '2 minutes', 'ocr', 0, 60, 0, 60, 0, 0, '{}', '{}')`;

  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }, { type: "ocr" }, { type: "embedding" }] });
  const shows = async (type: string, cells: Partial<Cells>, tiles: Partial<Tiles> = {}) => {
    const wanted = { ...cells, ...tiles };
    await until(`${type} shows ${Object.entries(wanted).join(" ")}`, async () => {
      const seen: Record<string, string> = { ...(await cellsOf(page, type)), ...(await tilesOf(page)) };
      return Object.entries(wanted).every(([name, text]) => seen[name] !== undefined && text.test(seen[name]));
    });
  };
  await shows("ocr", { due: /^2$/, scheduled: /^0$/, running: /^0$/, empty: /^10 s$/ }, { allDue: /^3$/ });
  // The other type does not get less, so nobody knows when all is done.
  await shows("embedding", { empty: /^–$/ }, { allEmpty: /^–$/, allFailed: /^0$/ });

  await fail(broker, "embedding");
  await shows("embedding", { due: /^0$/, failed: IN_A_MINUTE }, { allFailed: IN_A_MINUTE, allEmpty: /^10 s$/ });
  const waited = async () =>
    [(await cellsOf(page, "ocr")).oldest, (await tilesOf(page)).allOldest].map((text) => Number.parseInt(text, 10));
  const [from = 0] = await waited();
  await until("the longest wait has grown", async () => (await waited()).every((seconds) => seconds > from));

  await finish(broker, "ocr");
  await shows("ocr", { due: /^1$/, done: IN_A_MINUTE, wait: PAIR, run: PAIR }, { allDone: IN_A_MINUTE });
  await claim(broker, "ocr");
  await shows("ocr", { due: /^0$/, running: /^1$/, oldest: /^–$/ }, { allRunning: /^1$/, allEmpty: /^now$/ });
  // Told by the stream: it is opened once, and nothing else is asked again and again.
  expect(calls.filter((call) => call.endsWith("WatchStats"))).toHaveLength(1);
}, 40_000);

test("a type is paused with a reason, and resumed", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  const { page } = await visit(broker.url);
  await page.getByRole("button", { name: "Pause" }).click();
  const dialog = page.getByRole("dialog", { name: "Pause ocr" });
  await dialog.getByLabel("Reason").fill("the model is wrong");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await page.getByText("paused", { exact: true }).waitFor();
  expect(await db.sql`SELECT reason FROM ai_type_pause`).toEqual([{ reason: "the model is wrong" }]);
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  expect(await db.sql`SELECT FROM ai_type_pause`).toHaveLength(0);
});

test("charts cover 15 minutes, an hour and a day, of all types or of one; the address remembers", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  const { page, calls } = await visit(broker.url);
  await page.getByRole("img", { name: /^Jobs per minute/ }).waitFor();
  expect(await page.locator("canvas").count()).toBe(3);
  await page.getByRole("radio", { name: "24 h" }).check();
  await page.getByRole("button", { name: "ocr", exact: true }).click();
  await page.getByText("Jobs per minute · ocr").waitFor();
  expect(page.url()).toContain("#/?type=ocr&span=24h");
  await page.reload();
  await page.getByText("Jobs per minute · ocr").waitFor();
  expect(await page.getByRole("radio", { name: "24 h" }).isChecked()).toBe(true);
  expect(calls.filter((call) => call.endsWith("GetHistory")).length).toBeLessThan(8);
});
