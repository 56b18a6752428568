/** Calls from browser pages of other origins: closed unless a setting names the origins. RPC paths only. */
import { cors } from "@connectrpc/connect";
import type { AnyRequest, AnyResponse } from "./connections.ts";

/** Adds what a browser asks for; true when it was a preflight and has its answer. */
export type Cors = (req: AnyRequest, res: AnyResponse) => boolean;

const ALLOWED_HEADERS = [...cors.allowedHeaders, "authorization", "x-worker-token"].join(", ");
const PREFLIGHT_SECONDS = 7_200;

/** `origins` as a browser sends them (https://app.example.com), or * for any; none: every page is refused. */
export function createCors(origins: readonly string[]): Cors {
  const allowed = new Set(origins);
  return (req, res) => {
    const { origin } = req.headers;
    if (allowed.size === 0 || origin === undefined) return false;
    // A cache must not give one origin's answer to another.
    res.setHeader("vary", "origin");
    if (!allowed.has("*") && !allowed.has(origin)) return false;
    res.setHeader("access-control-allow-origin", origin);
    res.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
    if (req.method !== "OPTIONS" || req.headers["access-control-request-method"] === undefined) return false;
    res.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
    res.setHeader("access-control-allow-headers", ALLOWED_HEADERS);
    res.setHeader("access-control-max-age", String(PREFLIGHT_SECONDS));
    res.statusCode = 204;
    res.end();
    return true;
  };
}
