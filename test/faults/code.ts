/** The broker's program: ours, and that of the schema version before it, taken out of the repository's history. */
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { environment } from "../../src/config.ts";

const run = promisify(execFile);

/** The folder of this version. */
export const OURS = resolve(import.meta.dirname, "../..");

/** The last commit without our newest migration; undefined where the history does not go back to it. */
export async function previousCommit(): Promise<string | undefined> {
  const newest = newestMigration();
  try {
    // One that is not committed yet is missing in the last commit.
    if ((await git("ls-tree", "--name-only", "HEAD", "--", newest)) === "") return "HEAD";
    const parents = await git("log", "-1", "--diff-filter=A", "--format=%P", "--", newest);
    return parents.split(" ")[0] || undefined;
  } catch {
    return undefined;
  }
}

async function git(...args: string[]): Promise<string> {
  return (await run("git", args, { cwd: OURS })).stdout.trim();
}

export function newestMigration(): string {
  const names = readdirSync(join(OURS, "drizzle")).filter((name) => name.endsWith(".sql"));
  return `drizzle/${names.sort().at(-1)}`;
}

/** Puts the program of the schema version before ours into a folder of its own; answers which one. */
export async function takePrevious(folder: string): Promise<string> {
  const commit = await previousCommit();
  if (commit === undefined) throw new Error(`the history has no commit from before ${newestMigration()}`);
  mkdirSync(folder, { recursive: true });
  const archive = join(folder, "code.tar");
  await git("archive", "--output", archive, commit, "package.json", "drizzle", "src");
  await run("tar", ["-xf", archive, "-C", folder]);
  symlinkSync(join(OURS, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** `migrate` of that program, as an operator runs it before an update. */
export async function migrateBy(code: string, databaseUrl: string): Promise<void> {
  const env = { ...environment(), DATABASE_URL: databaseUrl };
  try {
    await run(process.execPath, [join(code, "src/main.ts"), "migrate"], { env });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr ?? String(error);
    throw new Error(`migrate of ${code} has failed: ${said}`, { cause: error });
  }
}
