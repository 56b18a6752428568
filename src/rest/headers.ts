/** Request headers as WSGI hands them on: Latin-1, repeated ones joined by a comma without a space. */
import type { IncomingMessage } from "node:http";

/** Undefined where the header is absent. The name in lower case. */
export function headerOf(req: IncomingMessage, name: string): string | undefined {
  const all = req.headersDistinct?.[name];
  if (all !== undefined) return all.join(",");
  const value = req.headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}
