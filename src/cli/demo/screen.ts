/** Where the demo is shown: a terminal is redrawn in place, anything else gets plain lines. */
import { type Paint, painter, seconds } from "./text.ts";
import { renderView, type View } from "./view.ts";

export interface Screen {
  paint: Paint;
  /** Shows the picture as it is now; nothing where lines are printed. */
  draw(view: View): void;
  /** A line that stays; nothing on a terminal, where the picture says it. */
  line(atMs: number, text: string): void;
  /** Ends the picture for good; what is written from now on stands below it. */
  close(): void;
  write(text: string): void;
}

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** Redraws only on a terminal that can move its cursor. */
export function openScreen(stdout: NodeJS.WriteStream, plain: boolean): Screen {
  // getColorDepth knows NO_COLOR, FORCE_COLOR and TERM.
  const paint = painter(stdout.isTTY === true && stdout.getColorDepth() > 1);
  const write = (text: string) => void stdout.write(text);
  if (plain) {
    const line = (atMs: number, text: string) => write(`${seconds(atMs).padStart(7)}  ${text}\n`);
    return { paint, draw: () => undefined, line, close: () => undefined, write };
  }
  let drawn = 0;
  let closed = false;
  return {
    paint,
    draw: (view) => {
      if (closed) return;
      const rows = stdout.rows || 24;
      const lines = renderView(view, Math.max(20, (stdout.columns || 80) - 1), rows, paint).slice(0, rows);
      const home = drawn > 1 ? `\x1b[${drawn - 1}F` : "\r";
      // Each line is cleared as it is overwritten, so that nothing flickers.
      write(`${drawn === 0 ? HIDE_CURSOR : home}${lines.map((line) => `${line}\x1b[K`).join("\n")}\x1b[J`);
      drawn = lines.length;
    },
    line: () => undefined,
    close: () => {
      if (drawn > 0 && !closed) write(`\n${SHOW_CURSOR}`);
      closed = true;
    },
    write,
  };
}
