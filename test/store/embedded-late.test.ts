/** A busy machine, where Postgres has refused and left before this process gets round to close the log file. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { exists } from "../../src/store/embedded-lock.ts";
import { test } from "../support/embedded.ts";
import { until } from "../support/until.ts";

/** What a file that was opened waits for before it is closed. */
const late = vi.hoisted(() => ({ waits: async (_path: string): Promise<void> => undefined }));

vi.mock(import("node:fs/promises"), async (original) => {
  const promises = await original();
  const open: typeof promises.open = async (path, ...rest) => {
    const handle = await promises.open(path, ...rest);
    const { close } = handle;
    handle.close = async () => {
      await late.waits(String(path));
      await close.call(handle);
    };
    return handle;
  };
  return { ...promises, open };
});

test("a Postgres that leaves at once is heard to leave all the same", async ({ start, dataDir }) => {
  await (await start()).stop();
  const waited: string[] = [];
  late.waits = async (path) => {
    await until("Postgres has come and gone", async () => {
      const pid = Number(/\[(\d+)\] .*"soon"/.exec(await readFile(path, "utf8"))?.[1]);
      return pid > 0 && !exists(pid);
    });
    waited.push(path);
  };
  await expect(start({ settings: { shared_buffers: "soon" } })).rejects.toThrow(/does not start\.\n.*"soon"/);
  expect(waited).toEqual([join(dataDir, "postgres.log")]);
});
