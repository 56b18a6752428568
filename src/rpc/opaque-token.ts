/** Places as texts that callers keep and send back: opaque to them, and bound to the filter that they were made for. */
import { createHash } from "node:crypto";

/** A text of visible characters. */
export function sealed(values: readonly unknown[], filter: object): string {
  return Buffer.from(JSON.stringify([...values, fingerprint(filter)])).toString("base64url");
}

/** The values, and whether the filter is the one that they were sealed with; null for what is not such a text. */
export function opened(text: string, filter: object, longest: number): { values: unknown[]; fits: boolean } | null {
  if (text.length > longest) return null;
  try {
    const read: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (!Array.isArray(read)) return null;
    const values = read.slice(0, -1) as unknown[];
    const mark: unknown = read.at(-1);
    return typeof mark === "string" ? { values, fits: mark === fingerprint(filter) } : null;
  } catch {
    return null;
  }
}

function fingerprint(filter: object): string {
  return createHash("sha256")
    .update(JSON.stringify(Object.entries(filter).sort()))
    .digest("base64url")
    .slice(0, 16);
}
