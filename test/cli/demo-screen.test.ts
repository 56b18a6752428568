/** The demo's screen: a picture in place on a terminal, lines elsewhere. */
import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { openScreen } from "../../src/cli/demo/screen.ts";
import type { View } from "../../src/cli/demo/view.ts";

const view: View = { elapsedMs: 0, headline: "now", tone: "plain", jobs: [], brokers: [], workers: [], events: [] };

function open(plain: boolean, rows = 24): { screen: ReturnType<typeof openScreen>; written(): string } {
  let written = "";
  const stdout = new Writable({
    write: (chunk, _, done) => {
      written += chunk;
      done();
    },
  });
  Object.assign(stdout, { isTTY: !plain, columns: 80, rows, getColorDepth: () => 1 });
  return { screen: openScreen(stdout as NodeJS.WriteStream, plain), written: () => written };
}

test("on a terminal the picture is drawn over itself, and lines are left to it", () => {
  const { screen, written } = open(false);
  screen.draw(view);
  screen.draw(view);
  screen.line(1, "a line");
  expect(written().match(/ai-job-broker demo/g)).toHaveLength(2);
  // Up to its first line, which is four above the last.
  expect(written()).toContain("\x1b[4F");
  expect(written()).not.toContain("a line");
});

test("a picture that has ended stays as it is, whoever still draws", () => {
  const { screen, written } = open(false);
  screen.draw(view);
  screen.close();
  const before = written();
  screen.draw(view);
  screen.close();
  expect(written()).toBe(before);
  expect(before.endsWith("\n\x1b[?25h")).toBe(true);
});

test("no picture is higher than the terminal", () => {
  const { screen, written } = open(false, 3);
  screen.draw(view);
  expect(written().split("\n")).toHaveLength(3);
});

test("elsewhere there are lines with their times, and no codes", () => {
  const { screen, written } = open(true);
  screen.draw(view);
  screen.line(1234, "a line");
  screen.close();
  expect(written()).toBe("  1.2 s  a line\n");
});
