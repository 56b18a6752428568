/** One broker process of the demo, played by small programs. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect } from "vitest";
import { type BrokerProcess, spawnBroker } from "../../src/cli/demo/broker-process.ts";

interface Play {
  /** Starts a program as the broker. */
  spawn(program: string): Promise<BrokerProcess>;
  lines: string[];
  logFile: string;
}

const test = base.extend<{ play: Play }>({
  play: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "demo-brokers-"));
    const started: BrokerProcess[] = [];
    const lines: string[] = [];
    const logFile = join(folder, "broker-1.log");
    await use({
      lines,
      logFile,
      spawn: async (program) => {
        const entry = join(folder, "entry.mjs");
        await writeFile(entry, program);
        const onLine = (line: string) => void lines.push(line);
        const broker = { entry, name: "broker-1", folder, settings: { PORT: "0" }, logFile, onLine };
        started.push(spawnBroker(broker));
        return started.at(-1) as BrokerProcess;
      },
    });
    await Promise.all(started.map((one) => one.stop()));
    await rm(folder, { recursive: true });
  },
});

const never = new AbortController().signal;
const READY = `console.log("ai-job-broker 9.9.9 listening on http://127.0.0.1:4711");`;

test("its address is read from what it prints, and its end by SIGTERM is no fault", async ({ play }) => {
  const broker = await play.spawn(`process.on("SIGTERM", () => process.exit(0)); setTimeout(() => {}, 1e6); ${READY}`);
  expect(await broker.ready(never)).toBe("http://127.0.0.1:4711");
  expect(await broker.stop()).toBe("exit code 0");
  expect(await Promise.race([broker.ended, "nothing more is said"])).toBe("nothing more is said");
});

test("an end in bad order is told as it was", async ({ play }) => {
  const broker = await play.spawn(`process.on("SIGTERM", () => process.exit(7)); setTimeout(() => {}, 1e6); ${READY}`);
  await broker.ready(never);
  expect(await broker.stop()).toBe("exit code 7");
});

test("one that ends before it is ready rejects with the end of its log", async ({ play }) => {
  const broker = await play.spawn(`console.error("no room on the disk"); process.exit(3);`);
  await expect(broker.ready(never)).rejects.toThrow(/broker-1 ended by itself \(exit code 3\).*\nno room on the disk/);
  await expect(broker.ended).rejects.toThrow("exit code 3");
});

test("both of its outputs are handed on and kept, also over several lives", async ({ play }) => {
  for (const life of ["first", "second"]) {
    const broker = await play.spawn(`console.error('{"move":"${life}"}'); ${READY} setTimeout(() => {}, 1e6);`);
    await broker.ready(never);
    await broker.stop();
  }
  expect(play.lines.filter((line) => line.startsWith("{"))).toEqual(['{"move":"first"}', '{"move":"second"}']);
  expect(await readFile(play.logFile, "utf8")).toMatch(/first[\s\S]*second/);
});

test("the person's own settings do not reach it", async ({ play }) => {
  process.env["LEASE_TTL_MS"] = "777";
  try {
    const broker = await play.spawn(
      `console.log(process.env.LEASE_TTL_MS, process.env.PORT, process.argv[2]); ${READY} setTimeout(() => {}, 1e6);`,
    );
    await broker.ready(never);
    expect(play.lines[0]).toBe("undefined 0 serve");
  } finally {
    delete process.env["LEASE_TTL_MS"];
  }
});

test("whoever waits for it can be called off", async ({ play }) => {
  const broker = await play.spawn("setTimeout(() => {}, 1e6);");
  await expect(broker.ready(AbortSignal.abort("SIGINT"))).rejects.toBe("SIGINT");
});
