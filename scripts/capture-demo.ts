/** Runs the demo and draws what a terminal shows of it: `node scripts/capture-demo.ts` writes docs/demo.svg. */
import { writeFileSync } from "node:fs";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { runDemo } from "../src/cli/demo/demo.ts";
import { drawFilm, type Frame } from "./terminal-svg.ts";

const [COLUMNS, ROWS] = [112, 30];
/** A calm picture is enough for a README, and keeps the file small. */
const FRAME_EVERY_MS = 500;
const START_MS = 1200;
const END_MS = 8000;
/** Time enough to read a headline; what happens faster is shown slower. */
const HEADLINE_MS = 1500;
const TITLE =
  "ai-job-broker demo: a live table of twelve jobs, two brokers and four workers; one worker is killed and both brokers are restarted, and every job is done once";

/** A terminal that understands what the demo's screen writes, and remembers every picture. */
class Terminal extends Writable {
  readonly isTTY = true;
  readonly columns = COLUMNS;
  readonly rows = ROWS;
  readonly frames: Frame[] = [];
  private readonly startedAtMs = performance.now();
  private lines: string[] = [""];
  private row = 0;

  getColorDepth(): number {
    return 4;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins each code
    for (const part of chunk.toString().split(/(\x1b\[\??\d*[A-Zhl]|\n|\r)/)) this.take(part);
    this.frames.push({ atMs: performance.now() - this.startedAtMs, lines: this.lines.slice(-ROWS) });
    done();
  }

  /** The screen writes a line in one piece, so a piece is a whole line. */
  private take(part: string): void {
    if (part === "\n") this.lines[++this.row] ??= "";
    else if (part === "\x1b[J") this.lines.length = this.row + 1;
    else if (part.startsWith("\x1b[") && part.endsWith("F")) this.row -= Number(part.slice(2, -1));
    else if (part !== "" && part !== "\r" && !/^.\[(\?\d+[hl]|K)$/.test(part)) this.lines[this.row] = part;
  }
}

/** Few frames that tell the story: the first of each headline, and one every FRAME_EVERY_MS. */
function choose(frames: Frame[]): Frame[] {
  const chosen: Frame[] = [];
  for (const frame of frames) {
    const before = chosen.at(-1);
    const news = story(frame) !== (before && story(before));
    if (before === undefined || news || frame.atMs - before.atMs >= FRAME_EVERY_MS) chosen.push(frame);
  }
  const last = frames.at(-1);
  return last && chosen.at(-1) !== last ? [...chosen, last] : chosen;
}

/** The start of the processes is shown in less time than it takes. */
function shortenStart(frames: Frame[]): Frame[] {
  const first = frames.findIndex((frame) => story(frame) !== story(frames[0] ?? frame));
  const cutMs = Math.max(0, (frames[first]?.atMs ?? 0) - START_MS);
  return frames.slice(first - 1).map((frame, index) => ({ ...frame, atMs: index === 0 ? 0 : frame.atMs - cutMs }));
}

/** Each headline stands for a while before the next one comes. */
function slowDown(frames: Frame[]): Frame[] {
  let addedMs = 0;
  let saidAtMs = 0;
  return frames.map((frame, index) => {
    const before = frames[index - 1];
    if (before !== undefined && story(frame) !== story(before)) {
      addedMs += Math.max(0, HEADLINE_MS - (frame.atMs + addedMs - saidAtMs));
      saidAtMs = frame.atMs + addedMs;
    }
    return { ...frame, atMs: frame.atMs + addedMs };
  });
}

/** The headline without its numbers, which change all the time. */
function story(frame: Frame): string {
  return (frame.lines[1] ?? "").replace(/[\d.]+/g, "");
}

const terminal = new Terminal();
const code = await runDemo({
  signal: new AbortController().signal,
  stdout: terminal as unknown as NodeJS.WriteStream,
});
if (code !== 0) throw new Error(`the demo exited with ${code}: ${terminal.frames.at(-1)?.lines.join("\n")}`);
const frames = slowDown(shortenStart(choose(terminal.frames)));
const lengthMs = Math.round((frames.at(-1)?.atMs ?? 0) + END_MS);
const still = frames.findIndex((frame) => frame.lines.some((line) => line.includes("◐ draining")));
const file = fileURLToPath(new URL("../docs/demo.svg", import.meta.url));
writeFileSync(file, drawFilm({ title: TITLE, frames, lengthMs, columns: COLUMNS, rows: ROWS, still }));
process.stdout.write(`${file}: ${frames.length} frames\n`);
process.exit(0);
