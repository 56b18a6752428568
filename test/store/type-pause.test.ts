import { expect } from "vitest";
import { listPauses, pauseType, resumeType } from "../../src/store/type-pause.ts";
import { test } from "../support/db.ts";

test("a pause keeps its time and reason when the type is paused again", async ({ db }) => {
  const first = await pauseType(db, "ocr", "the scanner is broken");
  expect(first).toEqual({ type: "ocr", pausedAt: expect.any(Date), reason: "the scanner is broken" });
  expect(await pauseType(db, "ocr", "another")).toEqual(first);
  await pauseType(db, "embedding", "");
  expect((await listPauses(db)).map((pause) => pause.type)).toEqual(["embedding", "ocr"]);
});

test("a resume says whether there was a pause", async ({ db }) => {
  await pauseType(db, "ocr", "");
  expect(await resumeType(db, "ocr")).toBe(true);
  expect(await resumeType(db, "ocr")).toBe(false);
  expect(await listPauses(db)).toEqual([]);
});

test("two pauses at once are one", async ({ db }) => {
  const pauses = await Promise.all(["a", "b"].map((reason) => pauseType(db, "ocr", reason)));
  expect(pauses[0]).toEqual(pauses[1]);
});
