/** examples/grading: the whole story, and with the broker killed at each point of it. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { POINTS, type Point } from "../../examples/grading/points.ts";
import { faults, type Told, tell } from "../../examples/grading/story.ts";
import { loadSheets, textOf } from "../../src/cli/demo/sheets.ts";
import { watch } from "../cli/run-cli.ts";
import { freshDatabase } from "../support/db.ts";
import { ROOT } from "./programs.ts";

test("its command plays the story with a real OCR engine, and says how it ended", { timeout: 90_000 }, async () => {
  const env = { PATH: process.env["PATH"] ?? "" };
  const { code, stdout, stderr } = await watch(
    spawn(process.execPath, [join(ROOT, "examples/grading/story.ts")], { cwd: ROOT, env, stdio: "pipe" }),
  ).done;
  expect(stderr).toBe("");
  expect(stdout).toContain("✓ one sheet: applied once, graded once, 100 of 100");
  expect(code).toBe(0);
});

/** Each in its own folder, with its own broker and database; four at a time. */
async function tellAll(points: readonly Point[], isEmbedded: (point: Point) => boolean): Promise<Told[]> {
  const [sheet] = (await loadSheets()).filter(({ name }) => name === "english");
  const read = async () => (sheet === undefined ? "" : textOf(sheet));
  const left = [...points];
  const told: Told[] = [];
  const teller = async () => {
    for (let killAt = left.shift(); killAt !== undefined; killAt = left.shift()) {
      const database = isEmbedded(killAt) ? undefined : await freshDatabase();
      told.push(await tell({ read, killAt, databaseUrl: database?.url, say: () => undefined }));
      await database?.drop();
    }
  };
  await Promise.all([teller(), teller(), teller(), teller()]);
  return told;
}

test("the broker is killed at any point: the text is applied once and graded once", { timeout: 280_000 }, async () => {
  // Where its Postgres is killed with it, four stand for all: the start of a cluster is most of a story's time.
  const told = await tellAll(POINTS, (point) => POINTS.indexOf(point) % 3 === 1);
  expect(told.map(({ killedAt }) => killedAt).sort()).toEqual([...POINTS].sort());
  for (const one of told) expect(faults(one), `killed at "${one.killedAt}"`).toEqual([]);
  // Where its answer could not be written down the event came again, or the rule was not tried.
  const again = told.filter(({ messages }) => messages > 1).map(({ killedAt }) => killedAt);
  expect(again).toEqual(expect.arrayContaining(["applied", "grading dispatched"]));
  for (const { changes, killedAt } of told) {
    expect(
      changes.filter((change) => change === "grading DONE"),
      `killed at "${killedAt}"`,
    ).toHaveLength(1);
    expect(
      changes.filter((change) => change === "ocr DONE"),
      `killed at "${killedAt}"`,
    ).toHaveLength(1);
  }
});

test("a story that ends otherwise is found out", () => {
  const told = { applications: [], gradings: 2, score: 10, messages: 1, changes: [], killedAt: null };
  expect(faults(told)).toEqual([
    "the text was applied 0 times",
    "2 grading jobs were dispatched",
    "the sheet got 10 of 100",
  ]);
});
