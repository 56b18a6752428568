import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { DIMENSIONS, embed } from "../../src/cli/demo/embedding.ts";
import { decodePng } from "../../src/cli/demo/png.ts";
import { makeProblems } from "../../src/cli/demo/problems.ts";
import { gatherLanguages, openReader } from "../../src/cli/demo/reader.ts";
import { faultIn } from "../../src/cli/demo/results.ts";
import { segment } from "../../src/cli/demo/segmentation.ts";
import { imageOf, loadSheets, normalise, SHEETS_FOLDER, textOf } from "../../src/cli/demo/sheets.ts";
import { openSkills } from "../../src/cli/demo/skills.ts";

const sheets = await loadSheets();

test("tesseract reads the Korean sheet letter for letter, with nothing but npm packages", async () => {
  const folder = await mkdtemp(join(tmpdir(), "demo-languages-"));
  const [sheet] = sheets;
  try {
    await gatherLanguages(folder);
    const reader = await openReader(folder);
    const { text } = await reader.read(await readFile(join(SHEETS_FOLDER, "math.png")));
    await reader.close();
    expect(sheet?.name).toBe("math");
    expect(normalise(text)).toBe(normalise(sheet ? textOf(sheet) : ""));
    expect(text).toMatch(/[가-힣]/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("missing language data is an error, not a wait without end", async () => {
  await expect(openReader(join(tmpdir(), "no-such-languages"))).rejects.toThrow(/tesseract\.js/);
});

test.each(sheets.map((sheet) => [sheet.name, sheet] as const))("the questions of %s are found", async (_, sheet) => {
  const file = await readFile(join(SHEETS_FOLDER, imageOf(sheet)));
  expect(file.length).toBeLessThan(60_000);
  expect(segment(decodePng(file))).toHaveLength(sheet.questions.length);
});

test("a file that is no PNG is refused in words", () => {
  expect(() => decodePng(Buffer.from("GIF89a"))).toThrow("this is not a PNG image");
});

test("similar texts have similar vectors", () => {
  const likeness = (a: string, b: string) => embed(a).reduce((sum, x, i) => sum + x * (embed(b)[i] ?? 0), 0);
  const near = likeness("water boils at 100 degrees", "water boiled at 100 degrees");
  expect(embed("수학")).toHaveLength(DIMENSIONS);
  expect(near).toBeGreaterThan(likeness("water boils at 100 degrees", "두 수의 합을 구하시오"));
  expect(embed("  ")).toEqual(new Array(DIMENSIONS).fill(0));
});

test("a new problem has other numbers, or a word to fill in", () => {
  expect(makeProblems("Title\n1. What is\n125 + 1,348?\n\n2. Name the third planet.")).toEqual([
    "What is 250 + 2,696?",
    "Name the third ______.",
  ]);
});

test("an image that is not there yet is named; one outside the folder is refused", async () => {
  const skills = openSkills(SHEETS_FOLDER, SHEETS_FOLDER);
  const cut = (path: string) => skills.work("question_segmentation", { image_path: path });
  await expect(cut("later.png")).rejects.toThrow("later.png is not uploaded yet");
  await expect(cut("../../package.json")).rejects.toThrow("leaves the image folder");
  await expect(skills.work("handwriting_analysis", {})).rejects.toThrow(
    "no skill for jobs of type handwriting_analysis",
  );
});

test("a text that differs by one letter is a fault, one that differs in white space is none", () => {
  const [sheet] = sheets;
  if (sheet === undefined) throw new Error("there are no sheets");
  expect(faultIn("ocr", { text: textOf(sheet).replaceAll("\n", " \n\n ") }, sheet)).toBeUndefined();
  expect(faultIn("ocr", { text: textOf(sheet).replace("125", "126") }, sheet)).toContain("the text is wrong");
  expect(faultIn("question_segmentation", { questions: [{}] }, sheet)).toBe("1 of 3 questions");
  expect(faultIn("embedding", { vectors: [[1, 2]] }, sheet)).toContain("not 64 numbers");
});
