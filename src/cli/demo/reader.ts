/** Reads the text of an image with tesseract.js and the language data from npm; nothing is downloaded. */
import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Korean first: with English first, tesseract puts spaces between Korean syllables. */
const LANGUAGES = ["kor", "eng"];
/** The small integer models: as exact as the 4.0.0 ones on print, a quarter of their size. */
const VARIANT = "4.0.0_best_int";
const LSTM_ONLY = 1;

export interface Reading {
  text: string;
  /** 0..100. */
  confidence: number;
}

export interface Reader {
  read(image: Buffer): Promise<Reading>;
  close(): Promise<void>;
}

/** Gathers the language data from the npm packages in one folder, as tesseract.js wants it. */
export async function gatherLanguages(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { resolve } = createRequire(import.meta.url);
  for (const language of LANGUAGES) {
    const file = `${language}.traineddata.gz`;
    const packageJson = orExplain(() => resolve(`@tesseract.js-data/${language}/package.json`));
    await copyFile(join(dirname(packageJson), VARIANT, file), join(folder, file));
  }
}

/** Loads the engine (~0.3 s). Rejects when it, or its language data in `folder`, cannot be loaded. */
export async function openReader(folder: string): Promise<Reader> {
  const { default: tesseract } = await import("tesseract.js").catch(explain);
  // createWorker never settles when the data is bad; only the error handler hears of it.
  const failed = Promise.withResolvers<never>();
  const errorHandler = (error: unknown) => failed.reject(new Error(`tesseract.js: ${error}`));
  const options = { langPath: folder, cacheMethod: "none", errorHandler };
  const engine = await Promise.race([tesseract.createWorker(LANGUAGES, LSTM_ONLY, options), failed.promise]);
  failed.promise.catch(() => undefined);
  return {
    read: async (image) => {
      const { data } = await engine.recognize(image);
      return { text: data.text.trim(), confidence: data.confidence };
    },
    close: async () => {
      await engine.terminate();
    },
  };
}

function orExplain(find: () => string): string {
  try {
    return find();
  } catch (error) {
    return explain(error);
  }
}

function explain(cause: unknown): never {
  const message = "the demo needs tesseract.js and its language data: run npm install without --omit=optional";
  throw new Error(message, { cause });
}
