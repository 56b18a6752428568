/** Draws what a terminal showed as an SVG: one frame after the other, in any browser and in a README. */
import { widthOf } from "../src/cli/demo/text.ts";

/** What the terminal showed from one moment on, as lines with their ANSI codes. */
export interface Frame {
  atMs: number;
  lines: string[];
}

export interface Film {
  /** For those who cannot see it. */
  title: string;
  frames: Frame[];
  lengthMs: number;
  columns: number;
  rows: number;
  /** Index of the frame that stands where nothing may move. */
  still: number;
}

interface Run {
  text: string;
  styles: number[];
}

const [CELL, LINE, FONT, EDGE, BAR] = [8.4, 17, 14, 16, 28];
const COLOURS: Record<number, string> = {
  1: "b",
  2: "d",
  31: "r",
  32: "g",
  33: "y",
  34: "u",
  35: "m",
  36: "c",
};
const STYLE = `
text{font:${FONT}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d7dce2;white-space:pre}
.b{font-weight:700}.d{fill:#7d8794}.r{fill:#ff7b72}.g{fill:#56d364}.y{fill:#e3b341}.u{fill:#79b8ff}.m{fill:#d2a8ff}.c{fill:#76e3ea}
.f{visibility:hidden;animation:step-end infinite}`;

export function drawFilm(film: Film): string {
  const width = Math.ceil(film.columns * CELL + 2 * EDGE);
  const height = BAR + film.rows * LINE + EDGE;
  const shared = new Shared(film.frames);
  const frames = film.frames.map((frame, index) => {
    const lines = frame.lines.map((line, row) => shared.place(line, BAR + (row + 1) * LINE)).join("");
    return `<g class="f" id="f${index}">${lines}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" xml:space="preserve">
<title>${escapeXml(film.title)}</title>
<style>${STYLE}
${timing(film)}</style>
<defs>${shared.definitions()}</defs>
<rect width="${width}" height="${height}" rx="8" fill="#10151c"/>
<circle cx="18" cy="15" r="5" fill="#ff5f57"/><circle cx="36" cy="15" r="5" fill="#febc2e"/><circle cx="54" cy="15" r="5" fill="#28c840"/>
${frames.join("\n")}
</svg>
`;
}

/** Each frame is visible from its own moment to the next one's; without motion, one stands. */
function timing({ frames, lengthMs, still }: Film): string {
  const share = (ms: number) => `${((100 * ms) / lengthMs).toFixed(2)}%`;
  const rules = frames.map((frame, index) => {
    const next = frames[index + 1];
    const end = next ? `${share(next.atMs)}{visibility:hidden}` : "";
    const start =
      index === 0 ? "0%{visibility:visible}" : `0%{visibility:hidden}${share(frame.atMs)}{visibility:visible}`;
    const last = next ? "" : "to{visibility:visible}";
    return `@keyframes k${index}{${start}${end}${last}}#f${index}{animation-name:k${index};animation-duration:${lengthMs}ms}`;
  });
  const calm = `@media(prefers-reduced-motion:reduce){.f{animation:none!important}#f${still}{visibility:visible}}`;
  return [...rules, calm].join("\n");
}

/** Lines that stand in several frames are drawn once and used again. */
class Shared {
  private readonly ids = new Map<string, string>();

  constructor(frames: Frame[]) {
    const counts = new Map<string, number>();
    for (const line of frames.flatMap((frame) => frame.lines)) counts.set(line, (counts.get(line) ?? 0) + 1);
    for (const [line, count] of counts) if (count > 1 && line !== "") this.ids.set(line, `l${this.ids.size}`);
  }

  place(line: string, y: number): string {
    const id = this.ids.get(line);
    if (id !== undefined) return `<use href="#${id}" y="${y}"/>`;
    return line === "" ? "" : drawLine(line, `y="${y}"`);
  }

  definitions(): string {
    return [...this.ids].map(([line, id]) => drawLine(line, `id="${id}"`)).join("\n");
  }
}

function drawLine(line: string, attributes: string): string {
  let column = 0;
  const spans = runsOf(line).map(({ text, styles }) => {
    const x = ` x="${(EDGE + column * CELL).toFixed(1)}"`;
    column += widthOf(text);
    // Fonts differ in the width of a letter; where that adds up, the text is stretched to its columns.
    const fixed =
      text.length < 8 || widthOf(text) > text.length
        ? ""
        : ` textLength="${(widthOf(text) * CELL).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
    const names = styles.map((style) => COLOURS[style]).join(" ");
    return `<tspan${x}${fixed}${names ? ` class="${names}"` : ""}>${escapeXml(text)}</tspan>`;
  });
  return `<text ${attributes}>${spans.join("")}</text>`;
}

function runsOf(line: string): Run[] {
  const runs: Run[] = [];
  let styles: number[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins each code
  for (const part of line.split(/(\x1b\[[\d;]*m)/)) {
    if (part.startsWith("\x1b"))
      styles = part
        .slice(2, -1)
        .split(";")
        .map(Number)
        .filter((code) => code !== 0);
    else if (part !== "") runs.push({ text: part, styles });
  }
  return runs;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
