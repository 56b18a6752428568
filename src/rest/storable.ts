/** What the database takes: no U+0000, no half of a surrogate pair, no number beyond a float. */
import { Float, type PyValue } from "./python-text.ts";

/** What keeps the text from being stored, as the end of a sentence; undefined when nothing does. */
export function textFlaw(text: string): string | undefined {
  if (text.includes("\0")) return "holds the character U+0000, which the database cannot store: remove it";
  if (!text.isWellFormed())
    return "holds half of a surrogate pair, which is no character: send both halves or remove it";
  return undefined;
}

/** The same for a value, all its keys and texts. */
export function valueFlaw(value: PyValue): string | undefined {
  const left: PyValue[] = [value];
  while (left.length > 0) {
    const item = left.pop();
    if (typeof item === "string") {
      const flaw = textFlaw(item);
      if (flaw !== undefined) return flaw;
    } else if (item instanceof Float) {
      if (!Number.isFinite(item.value)) return `holds the number ${item.text.slice(0, 40)}, which is out of range`;
    } else if (Array.isArray(item)) {
      for (const inner of item) left.push(inner);
    } else if (item instanceof Map) {
      for (const [key, inner] of item) left.push(key, inner);
    }
  }
  return undefined;
}
