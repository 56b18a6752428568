/** What the demo's workers can do, by job type: real work on a small scale. */
import { readFile } from "node:fs/promises";
import { join, normalize, sep } from "node:path";
import { embed } from "./embedding.ts";
import { decodePng } from "./png.ts";
import { makeProblems } from "./problems.ts";
import { openReader, type Reader } from "./reader.ts";
import { segment } from "./segmentation.ts";

type Json = Record<string, unknown>;

export interface Skills {
  /** Loads the OCR engine now rather than with the first sheet. */
  warmUp(): Promise<void>;
  /** Does one job. Rejects with what went wrong, in words for an operator. */
  work(type: string, payload: Json): Promise<Json>;
}

/** `imageDir` is where image_path starts; `languageDir` holds the OCR engine's language data. */
export function openSkills(imageDir: string, languageDir: string): Skills {
  let reader: Promise<Reader> | undefined;
  const engine = () => {
    reader ??= openReader(languageDir);
    return reader;
  };
  const byType: Record<string, (payload: Json) => Promise<Json>> = {
    ocr: async (payload) => {
      const image = await load(imageDir, payload);
      return { engine: "tesseract", ...(await (await engine()).read(image)) };
    },
    question_segmentation: async (payload) => ({ questions: segment(decodePng(await load(imageDir, payload))) }),
    embedding: async (payload) => ({ vectors: (payload.texts as string[]).map(embed) }),
    problem_generation: async (payload) => ({ problems: makeProblems(String(payload.ocr_text ?? "")) }),
  };
  return {
    warmUp: async () => {
      await engine();
    },
    work: (type, payload) => {
      const skill = byType[type];
      if (skill === undefined) return Promise.reject(new Error(`this worker has no skill for jobs of type ${type}`));
      return skill(payload);
    },
  };
}

async function load(imageDir: string, payload: Json): Promise<Buffer> {
  const path = normalize(String(payload.image_path ?? ""));
  if (path.startsWith("..") || path.startsWith(sep)) throw new Error(`image_path ${path} leaves the image folder`);
  return await readFile(join(imageDir, path)).catch((error: NodeJS.ErrnoException) => {
    throw new Error(error.code === "ENOENT" ? `${path} is not uploaded yet` : error.message, { cause: error });
  });
}
