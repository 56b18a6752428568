/** The exam sheets in examples/sheets: images whose text is known. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export interface Sheet {
  name: string;
  /** Two texts at the top, left and right. */
  heading: string[];
  /** The lines of each question. */
  questions: string[][];
}

/** Works from src/cli/demo and from dist/cli/demo. */
export const SHEETS_FOLDER = fileURLToPath(new URL("../../../examples/sheets/", import.meta.url));

export async function loadSheets(): Promise<Sheet[]> {
  const { sheets } = JSON.parse(await readFile(`${SHEETS_FOLDER}sheets.json`, "utf8")) as { sheets: Sheet[] };
  return sheets;
}

export function imageOf(sheet: Sheet): string {
  return `${sheet.name}.png`;
}

/** What stands on the sheet, line by line. */
export function textOf(sheet: Sheet): string {
  return [sheet.heading.join(" "), ...sheet.questions.flat()].join("\n");
}

/** The text with every run of white space as one space: print shows no more than that. */
export function normalise(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
