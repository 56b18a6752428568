/** What the processes write is there after a kill, in order, and a torn line is no harm. */
import { execFile, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { expect, inject, test } from "vitest";
import { oneDone, type Written, written } from "./bad-case.ts";
import { BadInput, writeLines } from "./lines.ts";
import { judgeFolder } from "./main.ts";
import { openRecorder, readRecords } from "./record.ts";
import { readVersions } from "./row-history.ts";

const folderOf = (): string => mkdtempSync(join(inject("runFolder"), "history-"));

/** As a run of the fault programme leaves it. */
function save({ records, versions, final }: Written): string {
  const folder = folderOf();
  writeLines(join(folder, "processes.jsonl"), records);
  writeLines(join(folder, "rows.jsonl"), versions);
  writeLines(join(folder, "final.jsonl"), final);
  return folder;
}

test("a call is a line when it begins and one when it ends, and their times only grow", () => {
  const file = join(folderOf(), "w.jsonl");
  const recorder = openRecorder(file, "w1");
  const first = recorder.invoke("report", { worker: "w1", items: [{ job: "a", token: "t", status: "DONE" }] });
  const second = recorder.invoke("claim", { limit: 2 });
  second.unknown("timeout");
  first.ok({ items: [{ job: "a", status: "ACCEPTED" }] });
  recorder.invoke("cancel", { items: [{ job: "a" }] }).fail("UNAUTHENTICATED");
  recorder.told("fault", { note: "killed broker 1" });
  recorder.close();
  const records = readRecords(file);
  expect(records.map(({ call, phase, op, note }) => [call, phase, op, note])).toEqual([
    [1, "invoke", "report", undefined],
    [2, "invoke", "claim", undefined],
    [2, "unknown", "claim", "timeout"],
    [1, "ok", "report", undefined],
    [3, "invoke", "cancel", undefined],
    [3, "fail", "cancel", "UNAUTHENTICATED"],
    [4, "told", "fault", "killed broker 1"],
  ]);
  expect(new Set(records.map(({ process }) => process))).toEqual(new Set([`w1/${process.pid}`]));
  for (const [at, record] of records.entries()) expect(record.at).toBeGreaterThan(records[at - 1]?.at ?? 0);
  expect(Math.abs(records[0]!.at / 1_000 - Date.now())).toBeLessThan(60_000);
});

test("a torn last line is left out, and cut off by the process that goes on", () => {
  const file = join(folderOf(), "w.jsonl");
  const before = openRecorder(file, "w1");
  before.told("note", { note: "one" });
  before.close();
  appendFileSync(file, '{"at":17,"process":"w1/1","ca');
  expect(readRecords(file).map(({ note }) => note)).toEqual(["one"]);
  const after = openRecorder(file, "w1");
  after.told("note", { note: "two" });
  after.close();
  expect(readRecords(file).map(({ note }) => note)).toEqual(["one", "two"]);
});

test("a line in the middle that is no record is an error that names its place", () => {
  const file = join(folderOf(), "w.jsonl");
  const good = '{"at":1,"process":"w1/1","call":1,"phase":"invoke","op":"claim"}';
  for (const [bad, what] of [
    ["{torn", "w.jsonl:2: no JSON"],
    ["[]", "w.jsonl:2: must be a JSON object"],
    ['{"process":"w1/1"}', "w.jsonl:2: at must be a number"],
    ['{"at":1,"process":"w1/1","call":1,"phase":"began","op":"claim"}', "w.jsonl:2: phase must be one of"],
    ['{"at":1,"process":"w1/1","call":1,"phase":"ok","op":"steal"}', "w.jsonl:2: op must be one of"],
    ['{"at":1,"process":"w1/1","call":1,"phase":"ok","op":"claim","items":[{}]}', "w.jsonl:2: items must be a list"],
  ] as const) {
    writeFileSync(file, `${good}\n${bad}\n${good}\n`);
    expect(() => readRecords(file)).toThrow(what);
  }
  writeFileSync(file, '{"table":"ai_job"}\n');
  expect(() => readVersions(file)).toThrow("w.jsonl:1: table must be job, result or event");
});

test("a process that is killed leaves every line that it had written", async () => {
  const file = join(folderOf(), "w.jsonl");
  const script = `import { openRecorder } from ${JSON.stringify(join(import.meta.dirname, "record.ts"))};
    const recorder = openRecorder(${JSON.stringify(file)}, "w1");
    for (let at = 1; ; at++) {
      recorder.told("note", { note: String(at) });
      // A loop that never waits keeps for itself what a full pipe has not taken, and nobody hears of it any more.
      await new Promise((resolve) => process.stdout.write(at + "\\n", resolve));
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  let said = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    said = Number(line);
    if (said === 200) child.kill("SIGKILL");
  }
  await gone;
  const notes = readRecords(file).map(({ note }) => Number(note));
  expect(notes).toEqual(notes.map((_, at) => at + 1));
  expect(notes.length).toBeGreaterThanOrEqual(said);
});

test("the program prints the rules, and what is wrong with the fewest lines, and says so by its exit code", async () => {
  const run = promisify(execFile);
  const main = join(import.meta.dirname, "main.ts");
  const good = await run(process.execPath, [main, save(written(oneDone))]);
  expect(good.stdout).toContain("1 jobs, 4 calls (0 of unknown outcome), 8 row versions");
  expect(good.stdout).toMatch(/ 3 {2}only-current-token-settles +1 {2}ok/);
  expect(good.stdout).toContain("No rule is broken.");
  const all = written(oneDone);
  all.records = all.records.filter(({ op }) => op !== "report");
  const bad = await run(process.execPath, [main, save(all)]).catch((error: { code: number; stdout: string }) => error);
  expect(bad).toMatchObject({ code: 1 });
  expect(bad.stdout).toMatch(/ 3 {2}only-current-token-settles +1 {2}1 BROKEN/);
  expect(bad.stdout).toContain("job a: no report can have made it DONE with token t1");
  expect(bad.stdout).toMatch(/database +report: RUNNING → DONE, attempt 1/);
  const none = await run(process.execPath, [main]).catch((error: { code: number; stderr: string }) => error);
  expect(none).toMatchObject({ code: 2, stderr: "usage: node test/faults/history/main.ts FOLDER\n" });
});

test("a folder that cannot be judged is refused, with the reason", () => {
  const print = () => undefined;
  expect(() => judgeFolder("nowhere", print)).toThrow(new BadInput("nowhere: no such folder"));
  expect(() => judgeFolder(folderOf(), print)).toThrow("rows.jsonl and final.jsonl missing");
  const empty = save({ records: [], versions: [], final: [] });
  writeFileSync(join(empty, "processes.jsonl"), "");
  expect(() => judgeFolder(empty, print)).toThrow("no process has written");
  const folder = save(written(oneDone));
  writeFileSync(join(folder, "options.json"), '{"drain":true}');
  expect(() => judgeFolder(folder, print)).toThrow("no such option: drain");
  writeFileSync(
    join(folder, "options.json"),
    '{"keptKinds":["done"],"subscribers":[{"name":"hook","kinds":["done"]}]}',
  );
  expect(judgeFolder(folder, print)).toBe(1);
  appendFileSync(join(folder, "processes.jsonl"), readFileSync(join(folder, "processes.jsonl"), "utf8").slice(0, 40));
  writeFileSync(join(folder, "options.json"), '{"keptKinds":["done"]}');
  expect(judgeFolder(folder, print)).toBe(0);
});
