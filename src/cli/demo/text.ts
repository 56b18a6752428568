/** Text for a terminal: colours and widths. */

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "blue" | "magenta" | "cyan";

const CODES: Record<Style, number> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
};

/** Styles a text. */
export type Paint = (text: string, ...styles: Style[]) => string;

/** Paints with ANSI codes, or leaves the text as it is. */
export function painter(colour: boolean): Paint {
  if (!colour) return (text) => text;
  return (text, ...styles) => {
    const codes = styles.map((style) => CODES[style]).join(";");
    return codes === "" || text === "" ? text : `\x1b[${codes}m${text}\x1b[0m`;
  };
}

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/;

/** How many columns the unpainted text takes: Korean, Chinese and Japanese letters take two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const letter of text) width += WIDE.test(letter) ? 2 : 1;
  return width;
}

/** Cuts the unpainted text to `width` columns, with an ellipsis where something is missing. */
export function shorten(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width < 1) return "";
  let kept = "";
  let taken = 0;
  for (const letter of text) {
    taken += widthOf(letter);
    if (taken > width - 1) break;
    kept += letter;
  }
  return `${kept}…`;
}

/** Cuts or fills the unpainted text to exactly `width` columns. */
export function pad(text: string, width: number, align: "left" | "right" = "left"): string {
  const cut = shorten(text, width);
  const gap = " ".repeat(Math.max(0, width - widthOf(cut)));
  return align === "left" ? cut + gap : gap + cut;
}

/** 1234 ms as "1.2 s". */
export function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}
