/** Where the broker is, and the token that opens it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface DevFile {
  url?: string;
  workerToken: string;
}

/**
 * BROKER_URL (several brokers of one database with commas) and INTERNAL_WORKER_TOKEN; where they are unset, what
 * `ai-job-broker dev` left in DATA_DIR.
 */
export function findBroker(env: NodeJS.ProcessEnv): { url: string[]; token: string } {
  const dev = readDevFile(env["DATA_DIR"] || ".ai-job-broker");
  const url = env["BROKER_URL"] || dev?.url || "http://127.0.0.1:50051";
  // The token of `dev` is for that broker only.
  const token = env["INTERNAL_WORKER_TOKEN"] || (url === dev?.url ? dev.workerToken : undefined);
  if (token === undefined) {
    throw new Error(`no token for ${url}: set INTERNAL_WORKER_TOKEN, or run \`npx ai-job-broker dev\` in this folder`);
  }
  return { url: url.split(","), token };
}

function readDevFile(folder: string): DevFile | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "dev-tokens.json"), "utf8")) as DevFile;
  } catch {
    return undefined;
  }
}
