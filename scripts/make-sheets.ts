/**
 * Draws examples/sheets/*.png from sheets.json: `node scripts/make-sheets.ts`.
 * Needs chromium and the Nanum fonts (Debian: apt-get install chromium fonts-nanum).
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { decodePng, type GreyImage } from "../src/cli/demo/png.ts";
import { imageOf, loadSheets, SHEETS_FOLDER, type Sheet } from "../src/cli/demo/sheets.ts";

const [WIDTH, HEIGHT] = [860, 640];

const STYLE = `
  * { box-sizing: border-box; margin: 0 }
  body { background: #fff; color: #000; font: 32px/1.5 NanumGothic; width: ${WIDTH}px; padding: 44px 56px }
  header { display: flex; justify-content: space-between; font-size: 40px; font-weight: 700;
    border-bottom: 3px solid #000; margin-bottom: 44px; padding-bottom: 14px }
  div { white-space: pre; margin-bottom: 44px }
  p { margin-bottom: 6px }`;

function page(sheet: Sheet): string {
  const heading = sheet.heading.map((part) => `<span>${part}</span>`).join("");
  const questions = sheet.questions.map((lines) => `<div>${lines.map((line) => `<p>${line}</p>`).join("")}</div>`);
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style><header>${heading}</header>${questions.join("")}`;
}

/** Grey PNG, each row stored as its difference to the row above. */
function encodePng({ width, height, pixels }: GreyImage): Buffer {
  const rows = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y++) {
    rows[y * (width + 1)] = 2;
    for (let x = 0; x < width; x++) {
      const above = y > 0 ? (pixels[(y - 1) * width + x] ?? 0) : 0;
      rows[y * (width + 1) + 1 + x] = (pixels[y * width + x] ?? 0) - above;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name, "latin1"), body]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(body.length);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, sum]);
}

const folder = mkdtempSync(join(tmpdir(), "make-sheets-"));
try {
  for (const sheet of await loadSheets()) {
    const html = join(folder, `${sheet.name}.html`);
    const shot = join(folder, imageOf(sheet));
    writeFileSync(html, page(sheet));
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"];
    execFileSync("chromium", [...flags, `--window-size=${WIDTH},${HEIGHT}`, `--screenshot=${shot}`, `file://${html}`], {
      stdio: "ignore",
    });
    writeFileSync(join(SHEETS_FOLDER, imageOf(sheet)), encodePng(decodePng(readFileSync(shot))));
  }
} finally {
  rmSync(folder, { recursive: true });
}
