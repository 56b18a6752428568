/** The demo as a whole, in a temporary folder of its own that must be empty afterwards. */
import { mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test as base, expect } from "vitest";
import { runDemo } from "../../src/cli/demo/demo.ts";

interface Play {
  /** What was printed so far. */
  printed(): string;
  run(options?: { signal?: AbortSignal; brokerEntry?: string }): Promise<number>;
  /** Calls back once, as soon as the text has been printed. */
  when(text: string, then: () => void): void;
}

const test = base.extend<{ folder: string; play: Play }>({
  folder: async ({}, use) => {
    const before = process.env.TMPDIR;
    const folder = await mkdtemp(join(tmpdir(), "demo-test-"));
    process.env.TMPDIR = folder;
    await use(folder);
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    await rm(folder, { recursive: true });
  },
  play: async ({}, use) => {
    let printed = "";
    const waiting: { text: string; then: () => void }[] = [];
    const stdout = new Writable({
      write: (chunk, _, done) => {
        printed += chunk;
        const due = waiting.findIndex(({ text }) => printed.includes(text));
        if (due >= 0) waiting.splice(due, 1)[0]?.then();
        done();
      },
    }) as NodeJS.WriteStream;
    await use({
      printed: () => printed,
      run: ({ signal = new AbortController().signal, ...more } = {}) => runDemo({ signal, stdout, ...more }),
      when: (text, then) => void waiting.push({ text, then }),
    });
  },
});

test("the demo loses a worker and restarts both brokers, and every job is done once all the same", {
  timeout: 150_000,
}, async ({ folder, play }) => {
  expect(await play.run(), play.printed()).toBe(0);
  expect(play.printed()).toContain("ocr-1 was killed with SIGKILL while it read math");
  for (const broker of ["broker-1", "broker-2"]) {
    expect(play.printed()).toMatch(new RegExp(`${broker} got SIGTERM while \\S+ reads (math|science)`));
    expect(play.printed()).toMatch(new RegExp(`${broker} serves again after`));
  }
  expect(play.printed()).toMatch(
    /12 jobs of 4 types, all DONE · \d+ retries: 1 lost lease, \d+ failed attempts? · 2 broker restarts/,
  );
  expect(play.printed()).toContain("nothing done twice");
  expect(play.printed()).toContain("사과 24개를 6명이 똑같이 나누면");
  await nothingIsLeft(folder);
});

test("Ctrl-C while all is being started leaves nothing behind", { timeout: 60_000 }, async ({ folder, play }) => {
  const ctrlC = new AbortController();
  play.when("starting Postgres", () => ctrlC.abort("SIGINT"));
  expect(await play.run({ signal: ctrlC.signal })).toBe(130);
  expect(play.printed()).toContain("was stopped");
  await nothingIsLeft(folder);
});

test("Ctrl-C in the middle of a restart starts no broker any more", { timeout: 150_000 }, async ({ folder, play }) => {
  const ctrlC = new AbortController();
  play.when("got SIGTERM while", () => ctrlC.abort("SIGINT"));
  expect(await play.run({ signal: ctrlC.signal }), play.printed()).toBe(130);
  await nothingIsLeft(folder);
});

test("a broker that does not start fails the demo with the end of its log", { timeout: 60_000 }, async ({
  folder,
  play,
}) => {
  const brokerEntry = join(folder, "broken.mjs");
  await writeFile(brokerEntry, `console.error("no room on the disk"); process.exit(3);`);
  expect(await play.run({ brokerEntry })).toBe(1);
  expect(play.printed()).toMatch(/broker-[12] ended by itself \(exit code 3\)/);
  expect(play.printed()).toContain("no room on the disk");
  await rm(brokerEntry);
  await nothingIsLeft(folder);
});

/** No file, and no process that was started in the folder, as far as this system tells. */
async function nothingIsLeft(folder: string): Promise<void> {
  expect(await readdir(folder)).toEqual([]);
  const pids = await readdir("/proc").catch(() => []);
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
  expect(places.filter((place) => place.startsWith(folder))).toEqual([]);
}
