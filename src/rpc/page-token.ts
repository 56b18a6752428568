/** The cursor of a list: where the page before ended, bound to the filter that it was made for. */
import { createHash } from "node:crypto";
import { BrokerError } from "../errors.ts";
import type { JobFilter } from "../store/list-jobs.ts";

const LONGEST = 200;

/** An opaque text; the jobs that follow are those below `lastId`. */
export function pageToken(lastId: number, filter: JobFilter): string {
  return Buffer.from(JSON.stringify([lastId, fingerprint(filter)])).toString("base64url");
}

/** The id below which the page begins; null for the first page. Throws BAD_PAGE_TOKEN. */
export function pageStart(token: string, filter: JobFilter): number | null {
  if (token === "") return null;
  const read = token.length <= LONGEST ? decode(token) : null;
  if (read === null) {
    throw bad("is not one that ListJobs gave: send next_page_token as it came, or nothing for the first page");
  }
  if (read.fingerprint !== fingerprint(filter)) {
    throw bad("belongs to a list with another filter: keep the filter, or start without a token");
  }
  return read.lastId;
}

function decode(token: string): { lastId: number; fingerprint: string } | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (!Array.isArray(value) || value.length !== 2) return null;
    const [lastId, mark] = value as unknown[];
    if (!Number.isSafeInteger(lastId) || (lastId as number) < 1 || typeof mark !== "string") return null;
    return { lastId: lastId as number, fingerprint: mark };
  } catch {
    return null;
  }
}

function fingerprint(filter: JobFilter): string {
  return createHash("sha256")
    .update(JSON.stringify(Object.entries(filter).sort()))
    .digest("base64url")
    .slice(0, 16);
}

function bad(message: string): BrokerError {
  return new BrokerError("BAD_PAGE_TOKEN", `page_token: ${message}`, { field: "page_token" });
}
