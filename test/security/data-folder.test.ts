/** What `dev` keeps in its folder is its owner's alone. */
import { lstat, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { startCli } from "../cli/run-cli.ts";
import { addressOf } from "../cli/with-broker.ts";

/** Everything below the folder that others may read, write or enter, as `mode path`; below a closed folder nobody gets. */
async function openTo(folder: string, others: number): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const facts = await lstat(path);
    if (facts.isSymbolicLink()) continue;
    if ((facts.mode & others) !== 0) found.push(`${(facts.mode & 0o777).toString(8)} ${name}`);
    if (facts.isDirectory()) found.push(...(await openTo(path, others)).map((line) => `${line} in ${name}`));
  }
  return found;
}

test("every file is 0600 and every folder 0700, while it runs and afterwards", async () => {
  const folder = await mkdtemp(join(inject("runFolder"), "modes-"));
  const dataDir = join(folder, "data");
  // As loose as a umask can be.
  const before = process.umask(0);
  const running = startCli(["dev"], { env: { DATA_DIR: dataDir, PORT: "0" } });
  process.umask(before);
  try {
    await addressOf(running);
    expect(await openTo(dataDir, 0o077)).toEqual([]);
  } finally {
    running.child.kill("SIGINT");
    await running.done;
  }
  expect(await openTo(dataDir, 0o077)).toEqual([]);
  await rm(folder, { recursive: true });
}, 60_000);
