/** Cuts an exam sheet into its questions: printed rows with a wide blank band above and below belong together. */
import type { GreyImage } from "./png.ts";

export interface Band {
  /** First and last printed row, counted from 0. */
  top: number;
  bottom: number;
}

/** Lines of one question lie closer than this, questions lie farther apart. */
const GAP_ROWS = 40;
const INK = 128;

/** The sheet's questions from top to bottom; the heading is left out. */
export function segment(image: GreyImage): Band[] {
  const bands: Band[] = [];
  for (let row = 0; row < image.height; row++) {
    if (!hasInk(image, row)) continue;
    const last = bands.at(-1);
    if (last && row - last.bottom <= GAP_ROWS) last.bottom = row;
    else bands.push({ top: row, bottom: row });
  }
  return bands.slice(1);
}

function hasInk({ pixels, width }: GreyImage, row: number): boolean {
  return pixels.subarray(row * width, (row + 1) * width).some((grey) => grey < INK);
}
