/** The workers: one reads sheets with a real OCR engine, one compares what was read with what stands on the sheet. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { gatherLanguages, openReader } from "../../src/cli/demo/reader.ts";
import { loadSheets, normalise, textOf } from "../../src/cli/demo/sheets.ts";
// In a project of yours: from "ai-job-broker/client".
import { createWorker, Fatal, type Worker } from "../../src/client/index.ts";
import type { Reach } from "./points.ts";

interface Jobs {
  ocr: { payload: { image_path?: string }; result: { text: string } };
  grading: { payload: { sheet: string; text: string }; result: { score: number } };
}

/** What a worker does with a sheet's image; the story takes the real engine. */
export type Read = (image: Buffer) => Promise<string>;

export interface Reader {
  read: Read;
  close(): Promise<void>;
}

export async function openOcr(folder: string): Promise<Reader> {
  const languages = join(folder, "languages");
  await gatherLanguages(languages);
  const reader = await openReader(languages);
  return { read: async (image) => (await reader.read(image)).text, close: reader.close };
}

export function startWorkers(url: string, token: string, read: Read, reach: Reach): Worker {
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: console.error };
  return createWorker<Jobs>({
    url,
    token,
    logger: quiet,
    types: {
      ocr: {
        async handler({ payload }) {
          await reach("reading");
          const text = await read(await readFile(payload.image_path ?? ""));
          await reach("read");
          // When the report is on its way.
          void setImmediate().then(() => reach("reported"));
          return { text };
        },
      },
      grading: {
        async handler({ payload }) {
          await reach("grading");
          const sheet = (await loadSheets()).find(({ name }) => name === payload.sheet);
          if (sheet === undefined) throw new Fatal(`there is no sheet ${payload.sheet}`);
          await reach("graded");
          return { score: likeness(normalise(payload.text), normalise(textOf(sheet))) };
        },
      },
    },
  });
}

/** Of the words that stand on the sheet, the share that was read, in percent. */
function likeness(read: string, stands: string): number {
  const words = stands.split(/\s+/);
  const found = new Set(read.split(/\s+/));
  return Math.round((100 * words.filter((word) => found.has(word)).length) / words.length);
}
