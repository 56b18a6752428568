import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect } from "vitest";
import { findTarget } from "../../src/cli/connection.ts";
import { welcome } from "../../src/cli/dev.ts";
import { devFilePath, devTokens, readDevFile, writeDevFile } from "../../src/cli/dev-file.ts";

const test = base.extend<{ dataDir: string }>({
  dataDir: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "aibroker-dev-"));
    await use(join(folder, "data"));
    await rm(folder, { recursive: true });
  },
});

const modeOf = async (dataDir: string) => ((await stat(devFilePath(dataDir))).mode & 0o777).toString(8);

test("the tokens are made once, for one side each, and only their owner can read them", async ({ dataDir }) => {
  const made = await devTokens(dataDir);
  expect(await modeOf(dataDir)).toBe("600");
  expect(made.workerToken).toMatch(/^dev-worker-.{24}$/);
  expect(made.apiToken).toMatch(/^dev-api-.{24}$/);
  expect(await devTokens(dataDir)).toEqual(made);
});

test("a file that others could read becomes private again", async ({ dataDir }) => {
  const made = await devTokens(dataDir);
  await chmod(devFilePath(dataDir), 0o644);
  expect(await devTokens(dataDir)).toEqual(made);
  expect(await modeOf(dataDir)).toBe("600");
});

test("a broken file is replaced", async ({ dataDir }) => {
  await devTokens(dataDir);
  await writeFile(devFilePath(dataDir), '{"workerToken": 1');
  expect(await readDevFile(dataDir)).toBeUndefined();
  expect((await devTokens(dataDir)).apiToken).toMatch(/^dev-api-/);
});

test("client commands use what dev left, while nothing else is said", async ({ dataDir }) => {
  const unset = { brokerUrl: undefined, brokerToken: undefined, dataDir };
  expect(await findTarget(unset)).toEqual({ url: "http://127.0.0.1:50051", token: undefined });
  const made = { ...(await devTokens(dataDir)), url: "http://127.0.0.1:4711" };
  await writeDevFile(dataDir, made);
  expect(await findTarget(unset)).toEqual({ url: made.url, token: made.apiToken });
  expect(await findTarget({ ...unset, brokerUrl: "http://127.0.0.1:4711/" })).toMatchObject({ token: made.apiToken });
  expect(await findTarget({ ...unset, brokerToken: "mine" })).toEqual({ url: made.url, token: "mine" });
});

test("the dev token is never sent to another broker", async ({ dataDir }) => {
  await writeDevFile(dataDir, { ...(await devTokens(dataDir)), url: "http://127.0.0.1:4711" });
  for (const brokerUrl of ["http://127.0.0.1:4712", "https://127.0.0.1:4711", "http://broker.example:4711"]) {
    expect(await findTarget({ brokerUrl, brokerToken: undefined, dataDir })).toEqual({
      url: brokerUrl,
      token: undefined,
    });
  }
});

test("a folder that cannot be written to is named, with what to do", async ({ dataDir }) => {
  await devTokens(dataDir);
  await expect(devTokens(devFilePath(dataDir))).rejects.toThrow(
    /tokens cannot be kept.*dev-tokens\.json.*Set DATA_DIR/,
  );
});

test("what dev prints can be pasted, whatever the data folder is called", () => {
  const file = { workerToken: "w", apiToken: "a" };
  const printed = welcome({ url: "http://127.0.0.1:1", where: "x" }, file, { path: "p", dataDir: "/시험 'q' $HOME" });
  const line = printed.split("\n").find((text) => text.includes("export DATA_DIR"));
  const { stdout } = spawnSync("sh", ["-c", `${line}; printf %s "$DATA_DIR"`], { encoding: "utf8" });
  expect(stdout).toBe("/시험 'q' $HOME");
});
