/** A chart of bars as SVG, readable on a light and on a dark page. */
import { isLessBetter, OURS } from "./compare.ts";
import type { Measure } from "./figures.ts";

const WIDTH = 760;
const LABEL = 330;
const LABEL_CHARS = 48;
const BAR = 18;
const GAP = 6;
const GROUP = 40;
const ROOM = 90;
/** What people look for; the rest stands in the table. */
const SHOWN = [
  ...["drain", "flow", "enqueue", "latency p50 at 100/s", "latency p99 at 100/s", "unary", "shim"],
  ...["backlog", "held snapshot", "scale"],
];

export function chartOf(measures: readonly Measure[], machine: string): string {
  const parts: string[] = [];
  let y = 10;
  for (const name of SHOWN) {
    const rows = measures.filter(({ measure, value }) => measure === name && value !== null);
    if (rows.length === 0) continue;
    const most = Math.max(...rows.map(({ value }) => value as number));
    const unit = `${rows[0]?.unit}, ${isLessBetter(name) ? "less" : "more"} is better`;
    parts.push(text(10, y + 22, `${name} (${unit})`, "font-weight:600;font-size:14px"));
    y += GROUP - 8;
    for (const row of rows) {
      parts.push(bar(row, y, most));
      y += BAR + GAP;
    }
    y += 10;
  }
  parts.push(text(10, y + 12, machine, "font-size:11px"));
  const style = `text{font-family:system-ui,sans-serif;font-size:12px;fill:#57606a}.ours{fill:#2f81f7}.other{fill:#8b949e}
@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 24}" viewBox="0 0 ${WIDTH} ${y + 24}" role="img" aria-label="Figures of npm run bench"><style>${style}</style>${parts.join("")}</svg>\n`;
}

function bar({ system, setting, value, unit }: Measure, y: number, most: number): string {
  const length = Math.max(1, ((WIDTH - LABEL - ROOM) * (value as number)) / most);
  const kind = system === OURS ? "ours" : "other";
  const figure = (value as number).toLocaleString("en-US", { maximumFractionDigits: unit === "ms" ? 1 : 0 });
  return [
    text(LABEL - 8, y + 13, short(`${system}: ${setting}`), "text-anchor:end"),
    `<rect class="${kind}" x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="3"/>`,
    text(LABEL + length + 6, y + 13, figure, ""),
  ].join("");
}

/** As much as there is room for. */
function short(label: string): string {
  return label.length > LABEL_CHARS ? `${label.slice(0, LABEL_CHARS - 1)}…` : label;
}

function text(x: number, y: number, words: string, style: string): string {
  const escaped = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}"${style === "" ? "" : ` style="${style}"`}>${escaped}</text>`;
}
