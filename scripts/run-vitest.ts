/** Vitest in a process of its own, which answers with its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/** `vitest run` with these words, at the top of the project; `more` stands in its environment. */
export async function runVitest(words: string[], more: Record<string, string>): Promise<number> {
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const env = { ...process.env, ...more };
  const child = spawn(process.execPath, [vitest, "run", ...words], { cwd: ROOT, env, stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}
