/** Payloads and results as the text of one JSON object, checked here where a handler or a caller can still be told. */

/** As the broker has it. */
const MAX_DEPTH = 64;

/**
 * The JSON text of an object. Throws a TypeError that begins with `what` for anything that JSON or the broker's database
 * cannot hold: no plain object, a bigint, a cycle, U+0000, half a surrogate pair, more than 64 levels.
 */
export function jsonObject(value: unknown, what: string): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const kind = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
    throw new TypeError(`${what} must be an object, got ${kind}: wrap it, for example { value: … }`);
  }
  const text = serialize(value, what);
  if (!text?.startsWith("{")) throw new TypeError(`${what} must be an object, but its toJSON makes it another value`);
  const flaw = flawIn(text);
  if (flaw !== undefined) throw new TypeError(`${what} ${flaw}`);
  return text;
}

function serialize(value: object, what: string): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TypeError(`${what} cannot be written as JSON: ${why}`, { cause: error });
  }
}

/** What jsonb would refuse in a text that JSON.stringify made; undefined when it is sound. */
function flawIn(text: string): string | undefined {
  // JSON.stringify writes both as escapes; an even number of backslashes before them is text about an escape.
  if (text.includes("\\u0000") && /(?<!\\)(\\\\)*\\u0000/.test(text)) {
    return "holds the character U+0000, which Postgres cannot store: remove it";
  }
  if (text.includes("\\ud") && /(?<!\\)(\\\\)*\\ud[89a-f]/.test(text)) {
    return "holds half of a surrogate pair, which is no character: send both halves or remove it";
  }
  return depthOf(text) > MAX_DEPTH ? `is nested more than ${MAX_DEPTH} levels deep: flatten it` : undefined;
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c /* \ */) at++;
      else if (code === 0x22 /* " */) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b /* { */ || code === 0x5b /* [ */) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d /* } */ || code === 0x5d /* ] */) depth--;
  }
  return deepest;
}

/** A text that Postgres takes: no U+0000, no half surrogate pairs, at most `max` characters. */
export function storableText(text: string, max: number): string {
  const sound = text.toWellFormed().replaceAll("\0", "\u{fffd}");
  if (sound.length <= max) return sound;
  // Never through the middle of a character.
  return sound
    .slice(0, max)
    .toWellFormed()
    .replace(/\u{fffd}$/u, "");
}
