/** Content negotiation: JSON or nothing, with an indent if the client asks for one (`application/json; indent=4`). */
import { fits, type MediaType, parseMediaType, precedence } from "./media-type.ts";
import { Refusal } from "./refusal.ts";

export const JSON_TYPE = "application/json";
const MAX_INDENT = 8;

/**
 * The indent of the answer, 0 for the compact form. Throws 404 for a `?format=` that is not json and 406 for an Accept
 * that leaves out JSON, in this order. q values are not looked at, not even q=0: the original does not either.
 */
export function negotiate(accept: string | undefined, format: string | undefined): number {
  if (format !== undefined && format !== "" && format !== "json") throw new Refusal(404, "Not found.");
  const accepted = best((accept ?? "*/*").split(",").map(parseMediaType));
  if (accepted === undefined) throw new Refusal(406, "Could not satisfy the request Accept header.");
  return indentOf(accepted);
}

/** The most specific type that fits; of equal ones the first. */
function best(types: MediaType[]): MediaType | undefined {
  let found: MediaType | undefined;
  for (const type of types) {
    if (fits(JSON_TYPE, type) && (found === undefined || precedence(type) > precedence(found))) found = type;
  }
  if (found === undefined || precedence(found) >= 2) return found;
  // A wildcard's parameters are written out behind our type and read again, without their quotes.
  const params = Array.from(found.params, ([name, value]) => `;${name}=${value}`).join("");
  return parseMediaType(JSON_TYPE + params);
}

function indentOf(type: MediaType): number {
  const indent = type.params.get("indent") ?? "";
  // What Python's int() takes.
  if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(indent)) return 0;
  return Math.max(0, Math.min(MAX_INDENT, Number(indent.replaceAll("_", ""))));
}
