/** The two endpoints as they describe themselves. */

import { JSON_TYPE } from "./negotiate.ts";
import type { PyValue } from "./python-text.ts";

export interface Endpoint {
  name: "next" | "result";
  /** The header Allow. */
  allow: string;
  methods: readonly string[];
  /** The answer to OPTIONS, as the original gives it. */
  description: PyValue;
}

const BASE = "/api/v1/internal/ai/job";

export const FORM_TYPE = "application/x-www-form-urlencoded";
export const MULTIPART_TYPE = "multipart/form-data";

const NEXT: Endpoint = {
  name: "next",
  allow: "GET, HEAD, OPTIONS",
  methods: ["GET", "HEAD", "OPTIONS"],
  description: describe("Internal Ai Job Next", `GET ${BASE}/next/\nresponse: { "job": {...} | null }`),
};

const RESULT: Endpoint = {
  name: "result",
  allow: "POST, OPTIONS",
  methods: ["POST", "OPTIONS"],
  description: describe(
    "Internal Ai Job Result",
    `POST ${BASE}/result/
payload:
  {
    "job_id": "...",
    "submission_id": 123,      # optional legacy
    "status": "DONE|FAILED",
    "result": {...} | null,
    "error": "..." | null
  }`,
  ),
};

/** The paths that the shim serves; each also without the slash at its end. */
export const SHIM_PATHS: readonly string[] = [`${BASE}/next/`, `${BASE}/result/`];

/** The endpoint of a request's target: a path, percent-encoded or not, or a whole URL. */
export function endpointOf(target: string): Endpoint | undefined {
  const path = decode(target.replace(/^https?:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, ""));
  if (path === `${BASE}/next/` || path === `${BASE}/next`) return NEXT;
  return path === `${BASE}/result/` || path === `${BASE}/result` ? RESULT : undefined;
}

/** The query of a target, without its question mark. */
export function queryOf(target: string): string {
  const query = target.replace(/#.*$/s, "");
  const mark = query.indexOf("?");
  return mark < 0 ? "" : query.slice(mark + 1);
}

function decode(path: string): string {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function describe(name: string, description: string): PyValue {
  return new Map<string, PyValue>([
    ["name", name],
    ["description", description],
    ["renders", [JSON_TYPE]],
    ["parses", [JSON_TYPE, FORM_TYPE, MULTIPART_TYPE]],
  ]);
}
