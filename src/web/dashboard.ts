/**
 * The dashboard under /ui/: files that were built beforehand, for a browser that then calls the RPCs with a token. They
 * hold no data and are open to everybody who reaches the port; what a page may do, its headers say. Images that jobs name
 * are beside them, for a token, where a setting says from which folder.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { resolve } from "node:path";
import { type Asset, type Assets, readAssets } from "./assets.ts";
import { IMAGE_NAME, type ImagesOptions, sendImage } from "./images.ts";

export const DASHBOARD_PATH = "/ui/";

export interface DashboardOptions {
  /** Where the build left it; default: dist/ui of this package. */
  folder?: string;
  /** Absent: none are shown. */
  images?: ImagesOptions | undefined;
  /** Told of each answer that is an error. */
  failed?: (method: string, reason: "NOT_SERVED") => void;
}

/** The same place from src/web of a checkout and from dist/web of a package. */
const BUILT = resolve(import.meta.dirname, "../../dist/ui");

/**
 * Scripts, styles and calls of this origin alone, no frame around it, and no form that sends anything anywhere. Images
 * are what the page itself holds: in a result's JSON, or asked for with the token, which an address could not carry.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data: blob:",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "form-action 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

const YEAR_SECONDS = 31_536_000;

const NOT_BUILT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>ai-job-broker</title>
<h1>The dashboard is not built</h1>
<p>In the checkout that this broker runs from, run</p>
<pre>npm run build:ui</pre>
<p>and load this page again; the broker need not be restarted.</p>
</html>
`;

/**
 * Answers requests to /ui/ and below and resolves true; resolves false for any other path, and for a file that it does
 * not have. The files are read at the first request and kept, so that an upgrade under a running broker mixes nothing.
 */
export function createDashboard({ folder = BUILT, images, failed }: DashboardOptions = {}) {
  let assets: Assets | undefined;
  return async (req: IncomingMessage, res: ServerResponse): Promise<boolean> => {
    const path = (req.url ?? "").split("?", 1)[0] ?? "";
    if (path !== "/ui" && !path.startsWith(DASHBOARD_PATH)) return false;
    if (req.method !== "GET" && req.method !== "HEAD") {
      failed?.("ui", "NOT_SERVED");
      refuseMethod(res);
      return true;
    }
    if (path === "/ui") {
      redirect(res);
      return true;
    }
    if (images !== undefined && path === `${DASHBOARD_PATH}${IMAGE_NAME}`) {
      setHeaders(res);
      await sendImage(req, res, images);
      return true;
    }
    assets ??= await readAssets(folder);
    if (assets === undefined) {
      sayNotBuilt(req, res);
      return true;
    }
    // A name that was read, or nothing: no request's path ever reaches the file system.
    const asset = assets.get(path.slice(DASHBOARD_PATH.length) || "index.html");
    if (asset === undefined) return false;
    sendAsset(req, res, asset);
    return true;
  };
}

function sendAsset(req: IncomingMessage, res: ServerResponse, asset: Asset): void {
  const isGzipped = takesGzip(req.headers["accept-encoding"]?.toString() ?? "");
  const { bytes, etag } = isGzipped ? asset.gzipped : asset.plain;
  setHeaders(res);
  res.setHeader("etag", etag);
  res.setHeader("vary", "accept-encoding");
  res.setHeader("cache-control", asset.isImmutable ? `public, max-age=${YEAR_SECONDS}, immutable` : "no-cache");
  if (has(req.headers["if-none-match"], etag)) {
    res.statusCode = 304;
    res.end();
    return;
  }
  if (isGzipped) res.setHeader("content-encoding", "gzip");
  send(req, res, asset.contentType, bytes);
}

function send({ method }: IncomingMessage, res: ServerResponse, contentType: string, bytes: Buffer): void {
  res.setHeader("content-type", contentType);
  res.setHeader("content-length", bytes.length);
  res.end(method === "HEAD" ? undefined : bytes);
}

/** Relative, as every address of the dashboard: a proxy may have put it behind a prefix that only the browser knows. */
function redirect(res: ServerResponse): void {
  setHeaders(res);
  res.statusCode = 308;
  res.setHeader("location", "ui/");
  res.setHeader("content-length", 0);
  res.end();
}

function sayNotBuilt(req: IncomingMessage, res: ServerResponse): void {
  setHeaders(res);
  res.statusCode = 503;
  res.setHeader("cache-control", "no-store");
  send(req, res, "text/html; charset=utf-8", Buffer.from(NOT_BUILT));
}

function refuseMethod(res: ServerResponse): void {
  setHeaders(res);
  res.statusCode = 405;
  res.setHeader("allow", "GET, HEAD");
  res.setHeader("content-length", 0);
  res.end();
}

function setHeaders(res: ServerResponse): void {
  for (const [name, value] of Object.entries(HEADERS)) res.setHeader(name, value);
}

/** Whether the header Accept-Encoding has gzip, and not by a quality of 0. */
function takesGzip(accepted: string): boolean {
  const gzip = accepted.split(",").map((part) => /^\s*gzip\s*(?:;\s*q=([\d.]+)\s*)?$/i.exec(part));
  return gzip.some((match) => match !== null && Number(match[1] ?? 1) > 0);
}

function has(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = (ifNoneMatch ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.includes(etag) || tags.includes("*");
}
