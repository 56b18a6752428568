/** What the workers send back: told in a few words, and checked against what the sheets say. */
import { DIMENSIONS } from "./embedding.ts";
import { normalise, type Sheet, textOf } from "./sheets.ts";

type Json = Record<string, unknown>;

/** A result in a few words. */
export function describeResult(type: string, result: Json): string {
  if (type === "ocr")
    return `${String(result.text).length} characters, ${Math.round(Number(result.confidence))} % sure`;
  if (type === "question_segmentation") return `${countOf(result.questions)} questions found`;
  if (type === "embedding") return `${countOf(result.vectors)} vector of ${DIMENSIONS} numbers`;
  if (type === "problem_generation") return `${countOf(result.problems)} new problems`;
  return "";
}

/** Why the result is not what the sheet says; undefined when it is. */
export function faultIn(type: string, result: Json, sheet: Sheet): string | undefined {
  if (type === "ocr") return textFault(String(result.text), textOf(sheet));
  if (type === "embedding") return embeddingFault(result.vectors);
  const list = type === "question_segmentation" ? result.questions : result.problems;
  const wanted = sheet.questions.length;
  return countOf(list) === wanted ? undefined : `${countOf(list)} of ${wanted} questions`;
}

function textFault(read: string, wanted: string): string | undefined {
  if (normalise(read) === normalise(wanted)) return undefined;
  return `the text is wrong\n  on the sheet: ${normalise(wanted)}\n  read:         ${normalise(read)}`;
}

function embeddingFault(vectors: unknown): string | undefined {
  const [vector] = Array.isArray(vectors) ? (vectors as number[][]) : [];
  const length = Math.hypot(...(vector ?? []));
  const good = vector?.length === DIMENSIONS && Math.abs(length - 1) < 0.001;
  return good ? undefined : `the vector is not ${DIMENSIONS} numbers of length 1`;
}

function countOf(list: unknown): number {
  return Array.isArray(list) ? list.length : 0;
}
