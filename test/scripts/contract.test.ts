import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { breaking, generated, lint, newestBaseline } from "../../scripts/gate/contract.ts";

const root = resolve(import.meta.dirname, "..", "..");
let copy: string;

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), "aibroker-contract-"));
  for (const path of ["proto", "buf.yaml", "buf.gen.yaml", "src/gen"]) {
    cpSync(join(root, path), join(copy, path), { recursive: true });
  }
});

afterEach(() => {
  rmSync(copy, { recursive: true, force: true });
});

/** Changes one file of the copy; fails when there was nothing to change. */
function change(path: string, from: RegExp, to: string): void {
  const before = readFileSync(join(copy, path), "utf8");
  const after = before.replace(from, to);
  expect(after, `${path} has nothing like ${from}`).not.toBe(before);
  writeFileSync(join(copy, path), after);
}

test("the contract as it stands breaks no client of the last release", async () => {
  expect(await breaking(copy)).toMatchObject({ ok: true });
});

test("a field that is gone breaks the gate and is named", async () => {
  change("proto/aibroker/v1/job.proto", /^ {2}string job_id = 1;\n/m, "");
  const outcome = await breaking(copy);
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toMatch(/Previously present field "1" with name "job_id".* was deleted/);
  expect(outcome.output).toMatch(/a client of v\d+\.\d+\.\d+ would break/);
});

test("a field that changes its number breaks the gate", async () => {
  change("proto/aibroker/v1/job.proto", /string job_id = 1;/, "string job_id = 99;");
  expect((await breaking(copy)).ok).toBe(false);
});

test("without an image of a release the gate says how to make one", async () => {
  rmSync(join(copy, "proto", "baseline"), { recursive: true });
  const outcome = await breaking(copy);
  expect(outcome).toEqual({ ok: false, output: expect.stringContaining("npm run baseline") });
});

test("the newest image is the one of the highest version, not the last by name", () => {
  const image = readFileSync(join(copy, newestBaseline(copy) ?? ""));
  for (const version of ["0.9.0", "0.10.0"]) writeFileSync(join(copy, `proto/baseline/v${version}.binpb`), image);
  expect(newestBaseline(copy)).toMatch(/v0\.10\.0\.binpb$/);
});

test("a badly named message fails the lint", async () => {
  expect(await lint(copy)).toMatchObject({ ok: true });
  change("proto/aibroker/v1/job.proto", /message AIResult \{/, "message ai_result {");
  expect((await lint(copy)).ok).toBe(false);
});

test("generated code that is edited, missing or left over fails the gate", async () => {
  expect(await generated(copy)).toEqual({ ok: true, output: "" });
  change("src/gen/aibroker/v1/job_pb.ts", /^export /m, "export  ");
  rmSync(join(copy, "src/gen/aibroker/v1/payloads_pb.ts"));
  writeFileSync(join(copy, "src/gen/aibroker/v1/old_pb.ts"), "");
  const outcome = await generated(copy);
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain("job_pb.ts is out of date");
  expect(outcome.output).toContain("payloads_pb.ts is missing");
  expect(outcome.output).toContain("old_pb.ts comes from no proto file");
});
