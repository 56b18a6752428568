/** The cursor of a list: where the page before ended, bound to the filter that it was made for. */
import { BrokerError } from "../errors.ts";
import { opened, sealed } from "./opaque-token.ts";

const LONGEST = 200;

/** An opaque text; `lastId` is that of the last item, or where the list goes on. */
export function pageToken(lastId: number, filter: object): string {
  return sealed([lastId], filter);
}

/** The id that the token was made of; null for the first page. Throws BAD_PAGE_TOKEN. */
export function pageStart(token: string, filter: object): number | null {
  if (token === "") return null;
  const read = opened(token, filter, LONGEST);
  const lastId = read === null ? null : idOf(read.values);
  if (read === null || lastId === null) {
    throw bad("is not one that this list gave: send next_page_token as it came, or nothing for the first page");
  }
  if (!read.fits) throw bad("belongs to a list with another filter: keep the filter, or start without a token");
  return lastId;
}

function idOf([lastId, ...more]: unknown[]): number | null {
  return more.length === 0 && Number.isSafeInteger(lastId) && (lastId as number) >= 1 ? (lastId as number) : null;
}

function bad(message: string): BrokerError {
  return new BrokerError("BAD_PAGE_TOKEN", `page_token: ${message}`, { field: "page_token" });
}
