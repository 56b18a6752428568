/**
 * Images of one folder, for the dashboard: a payload or a result names a file, and who reads the job may want to see it.
 * Off unless a folder is set; then for tokens that read jobs. Nothing else of the file system can be reached by a name.
 */
import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isAbsolute, join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";

/** Below the dashboard's own; the name is its parameter `path`, since proxies tidy up paths. */
export const IMAGE_NAME = "image";

export interface ImagesOptions {
  /** Names are taken from here on, or as absolute ones that lead into it. */
  folder: string;
  /** Answers a caller that may not read jobs, and returns true. */
  refused: (req: IncomingMessage, res: ServerResponse) => boolean;
}

/** For who looks at a page, not for archives. */
const MAX_BYTES = 32 * 1024 * 1024;
const LONGEST_NAME = 4_096;
const MAGIC_BYTES = 12;

interface Image {
  file: FileHandle;
  contentType: string;
  size: number;
}

type Fault = [status: 400 | 404 | 413 | 415, text: string];

const NO_SUCH: Fault = [404, "there is no image of this name in the folder of DASHBOARD_IMAGES"];
const NO_NAME: Fault = [400, `send the image's name as ?path=, of at most ${LONGEST_NAME} characters`];
const TOO_LARGE: Fault = [413, `the image is larger than ${MAX_BYTES} bytes, which the dashboard shows at most`];
const NO_IMAGE: Fault = [415, "the file is no image that browsers draw: PNG, JPEG, GIF, WebP or AVIF"];

/** Answers GET and HEAD of an image. Never rejects for what a caller sends. */
export async function sendImage(req: IncomingMessage, res: ServerResponse, options: ImagesOptions): Promise<void> {
  if (options.refused(req, res)) return;
  const image = await openImage(options.folder, nameIn(req.url ?? ""));
  if (Array.isArray(image)) return sayFault(res, image);
  try {
    res.setHeader("content-type", image.contentType);
    res.setHeader("content-length", image.size);
    // It is of one job, and for who has a token.
    res.setHeader("cache-control", "no-store");
    if (req.method === "HEAD") res.end();
    else await pipeline(image.file.createReadStream({ start: 0, end: image.size - 1, autoClose: false }), res);
  } catch {
    // The caller went away, or the file was cut short under our hands: there is no answer left to give.
    res.destroy();
  } finally {
    await image.file.close();
  }
}

function nameIn(url: string): string {
  const query = url.slice(url.indexOf("?") + 1);
  return new URLSearchParams(query === url ? "" : query).get("path") ?? "";
}

async function openImage(folder: string, name: string): Promise<Image | Fault> {
  if (name === "" || name.length > LONGEST_NAME) return NO_NAME;
  const path = await placeOf(folder, name);
  if (path === undefined) return NO_SUCH;
  // Not through a link that has come since, and without waiting for the other end of a pipe.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return NO_SUCH;
  const image = await look(file).catch(() => NO_SUCH);
  if (Array.isArray(image)) await file.close();
  return image;
}

/** The file itself, links followed, if it lies in the folder and no part of its way there is hidden. */
async function placeOf(folder: string, name: string): Promise<string | undefined> {
  if (name.includes("\0")) return undefined;
  const real = (path: string) => realpath(path).catch(() => undefined);
  const [root, path] = await Promise.all([real(folder), real(isAbsolute(name) ? name : join(folder, name))]);
  if (root === undefined || path === undefined) return undefined;
  const way = relative(root, path);
  // On another drive of Windows the way is absolute.
  const isOutside = way === "" || isAbsolute(way) || way.split(sep).some((part) => part.startsWith("."));
  return isOutside ? undefined : path;
}

async function look(file: FileHandle): Promise<Image | Fault> {
  const about = await file.stat();
  if (!about.isFile()) return NO_SUCH;
  if (about.size > MAX_BYTES) return TOO_LARGE;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
  const contentType = imageTypeOf(buffer.subarray(0, bytesRead));
  return contentType === undefined ? NO_IMAGE : { file, contentType, size: about.size };
}

/** By what it begins with, whatever its name says. No SVG: it can hold scripts. */
function imageTypeOf(head: Buffer): string | undefined {
  const text = head.toString("latin1");
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("GIF87a") || text.startsWith("GIF89a")) return "image/gif";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "image/webp";
  if (text.slice(4, 12) === "ftypavif") return "image/avif";
  return undefined;
}

function sayFault(res: ServerResponse, [status, message]: Fault): void {
  const body = Buffer.from(`${JSON.stringify({ message })}\n`);
  res.statusCode = status;
  res.setHeader("content-type", "application/json");
  res.setHeader("content-length", body.length);
  res.end(body);
}
