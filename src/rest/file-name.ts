/** The name of an uploaded file, cleaned as Django cleans it. */
import { isPrintable } from "./python-text.ts";

const MAX_NAME = 255;
const ENTITIES: Record<string, string> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  sol: "/",
  bsol: "\\",
  nbsp: "\u00a0",
};

/** Undefined where nothing is left: such a file does not count. */
export function fileName(given: string): string | undefined {
  const plain = given.replace(/&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]+);/gi, unescapeEntity);
  const last = plain.slice(plain.lastIndexOf("/") + 1);
  const name = Array.from(last.slice(last.lastIndexOf("\\") + 1))
    .filter(isPrintable)
    .join("");
  return name === "" || name === "." || name === ".." ? undefined : shorten(name);
}

function unescapeEntity(entity: string, body: string): string {
  if (!body.startsWith("#")) return ENTITIES[body] ?? entity;
  const point = body[1] === "x" || body[1] === "X" ? Number.parseInt(body.slice(2), 16) : Number(body.slice(1));
  return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point).toWellFormed() : "\ufffd";
}

/** Keeps the extension. */
function shorten(name: string): string {
  const points = Array.from(name);
  if (points.length <= MAX_NAME) return name;
  const dot = points.lastIndexOf(".");
  const extension = dot <= 0 ? [] : points.slice(dot, dot + MAX_NAME);
  const stem = dot <= 0 ? points : points.slice(0, dot);
  return [...stem.slice(0, MAX_NAME - extension.length), ...extension].join("");
}
