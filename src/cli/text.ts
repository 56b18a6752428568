/** Text on a terminal: tables whose columns stand straight, whatever a worker wrote into an error. */

// Hangul, CJK, full-width forms and most emoji take two columns.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** How many columns a text takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const point of text) width += /\p{Mn}/u.test(point) ? 0 : WIDE.test(point) ? 2 : 1;
  return width;
}

/** One line without control characters, so that no job's text can move the cursor or colour the screen. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(/[\p{Cc}\p{Cf}]/gu, "\u{fffd}");
}

/** Cuts to so many columns; the cut shows as an ellipsis. */
export function shorten(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let kept = "";
  for (const point of text) {
    if (widthOf(kept + point) > columns - 1) break;
    kept += point;
  }
  return `${kept}…`;
}

/** A text as one word of a shell. */
export function quoted(text: string): string {
  return /^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A table with a head; numbers go right. Rows are cut at `columns` (the terminal's width), or not at all without it. */
export function table(head: string[], rows: string[][], columns?: number): string {
  const clean = rows.map((row) => row.map(oneLine));
  const widths = head.map((title, i) => Math.max(...[title, ...clean.map((row) => row[i] ?? "")].map(widthOf)));
  const right = head.map((_, i) => clean.length > 0 && clean.every((row) => /^[\d.,/%-]*$/.test(row[i] ?? "")));
  const lines = [head, ...clean].map((row) => {
    const cells = row.map((cell, i) => {
      const gap = " ".repeat(Math.max(0, (widths[i] ?? 0) - widthOf(cell)));
      return right[i] ? gap + cell : cell + gap;
    });
    const line = cells.join("  ").trimEnd();
    return columns === undefined ? line : shorten(line, columns);
  });
  return lines.join("\n");
}
