/** The tokens that `dev` makes, in a file that only its owner can read, and where its broker listens. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";

export interface DevFile {
  workerToken: string;
  apiToken: string;
  /** Where the broker of the newest `dev` listened; absent before the first start. */
  url?: string;
}

/** Path of the file in the data folder. */
export function devFilePath(dataDir: string): string {
  return join(dataDir, "dev-tokens.json");
}

/** What `dev` left; undefined when there is no such file or it cannot be used. */
export async function readDevFile(dataDir: string): Promise<DevFile | undefined> {
  try {
    const found: unknown = JSON.parse(await readFile(devFilePath(dataDir), "utf8"));
    return isDevFile(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the tokens of an earlier `dev`, so that open terminals stay good; else makes new ones. */
export async function devTokens(dataDir: string): Promise<DevFile> {
  const file = (await readDevFile(dataDir)) ?? { workerToken: newToken("worker"), apiToken: newToken("api") };
  await writeDevFile(dataDir, file);
  return file;
}

/** Writes the file with mode 0600. Throws a CliError where the folder cannot be written to. */
export async function writeDevFile(dataDir: string, file: DevFile): Promise<void> {
  await replace(devFilePath(dataDir), `${JSON.stringify(file, null, 2)}\n`).catch((cause: Error) => {
    const message = `the tokens cannot be kept in the data folder: ${cause.message}. Set DATA_DIR.`;
    throw new CliError(EXIT.failed, message, { cause });
  });
}

/** Beside it and renamed: a reader never meets half a file, and an old one with a wider mode does not pass it on. */
async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const fresh = `${path}.${process.pid}`;
  await rm(fresh, { force: true });
  await writeFile(fresh, text, { mode: 0o600, flag: "wx" });
  await rename(fresh, path);
}

function newToken(side: string): string {
  return `dev-${side}-${randomBytes(18).toString("base64url")}`;
}

function isDevFile(value: unknown): value is DevFile {
  const file = value as Partial<DevFile> | null;
  return typeof file === "object" && typeof file?.workerToken === "string" && typeof file.apiToken === "string";
}
