/** The dashboard's files as the build left them, each ready to be sent, plain and gzipped. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

export interface Asset {
  contentType: string;
  /** Its name tells what is in it, so it never changes. */
  isImmutable: boolean;
  plain: Body;
  gzipped: Body;
}

export interface Body {
  bytes: Buffer;
  etag: string;
}

/** By the path below the dashboard's own, `index.html` among them. */
export type Assets = ReadonlyMap<string, Asset>;

/** What is not of these kinds is not served. */
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const compress = promisify(gzip);

/** Reads the whole folder, some hundred kilobytes; undefined where it has no index.html, so was not built. */
export async function readAssets(folder: string): Promise<Assets | undefined> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const assets = new Map<string, Asset>();
  for (const entry of entries) {
    const contentType = CONTENT_TYPES[extname(entry.name)];
    if (!entry.isFile() || contentType === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path).split(sep).join("/");
    const bytes = await readFile(path);
    assets.set(name, {
      contentType,
      isImmutable: name.startsWith("assets/"),
      plain: body(bytes),
      gzipped: body(await compress(bytes, { level: 9 })),
    });
  }
  return assets.has("index.html") ? assets : undefined;
}

function body(bytes: Buffer): Body {
  return { bytes, etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"` };
}
