/** Whether the programme sees that one of its own has left the stage. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { Player } from "./player.ts";

const folder = () => {
  const path = mkdtempSync(join(tmpdir(), "aibroker-player-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

/** A broker is not there: this worker asks again and again. */
const LASTING = { name: "legacy1", token: "t", leaseMs: 1_000, seed: 1, urls: ["http://127.0.0.1:9"], seats: 1 };

test("a player that ends by itself is told of, once", async () => {
  using at = folder();
  const player = new Player({
    name: "stream1",
    module: "stream-worker",
    settings: { name: "stream1" },
    folder: at.path,
  });
  const fall = await until("it has ended", () => player.takeFall());
  expect(fall).toBe("stream1 has ended by itself (1): see stream1.log");
  expect(readFileSync(join(at.path, "stream1.log"), "utf8")).not.toBe("");
  expect(player.takeFall()).toBeUndefined();
});

test("one that is killed, or killed and started again, has not ended by itself", async () => {
  using at = folder();
  const player = new Player({ name: "legacy1", module: "legacy-worker", settings: LASTING, folder: at.path });
  await player.restart();
  await player.kill();
  expect(player.takeFall()).toBeUndefined();
});
