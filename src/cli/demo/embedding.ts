/** Turns a text into a vector without any model: it counts the text's letter triples by their hash. */
import { createHash } from "node:crypto";

export const DIMENSIONS = 64;

/** A vector of length 1 with DIMENSIONS numbers (all 0 for a blank text); similar texts have similar vectors. */
export function embed(text: string): number[] {
  const counts = new Array<number>(DIMENSIONS).fill(0);
  const letters = Array.from(` ${text.toLowerCase().replace(/\s+/g, " ").trim()} `);
  for (let i = 0; i + 3 <= letters.length; i++) {
    const slot =
      createHash("sha256")
        .update(letters.slice(i, i + 3).join(""))
        .digest()
        .readUInt32BE(0) % DIMENSIONS;
    counts[slot] = (counts[slot] ?? 0) + 1;
  }
  const length = Math.hypot(...counts);
  return counts.map((count) => (length === 0 ? 0 : Number((count / length).toFixed(6))));
}
