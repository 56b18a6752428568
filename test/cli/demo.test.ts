/** The demo as a whole, in a temporary folder of its own that must be empty afterwards. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
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

test("the demo loses a worker, and every job is done all the same", { timeout: 90_000 }, async ({ folder, play }) => {
  expect(await play.run(), play.printed()).toBe(0);
  expect(play.printed()).toContain("ocr-1 was killed with SIGKILL while it read math");
  expect(play.printed()).toMatch(/12 jobs of 4 types, all DONE · \d+ retries: \d+ lost lease/);
  expect(play.printed()).toContain("사과 24개를 6명이 똑같이 나누면");
  expect(await readdir(folder)).toEqual([]);
});

test("Ctrl-C ends the demo and leaves nothing behind", { timeout: 60_000 }, async ({ folder, play }) => {
  const ctrlC = new AbortController();
  play.when("the broker is up", () => ctrlC.abort("SIGINT"));
  expect(await play.run({ signal: ctrlC.signal })).toBe(130);
  expect(play.printed()).toContain("was stopped");
  expect(await readdir(folder)).toEqual([]);
});

test("a broker that does not start fails the demo with the end of its log", async ({ folder, play }) => {
  const brokerEntry = join(folder, "broken.mjs");
  await writeFile(brokerEntry, `console.error("no room on the disk"); process.exit(3);`);
  expect(await play.run({ brokerEntry })).toBe(1);
  expect(play.printed()).toContain("the broker ended by itself (exit code 3)");
  expect(play.printed()).toContain("no room on the disk");
  expect(await readdir(folder)).toEqual(["broken.mjs"]);
});
