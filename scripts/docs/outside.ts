/** Whether a built site asks anybody else for anything. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What a browser fetches by itself, in a page or a style sheet; links that a reader follows are none of it. */
const FETCHED: readonly RegExp[] = [
  /<(?:script|img|iframe|source|video|audio|object)\b[^>]*?\s(?:src|data|srcset)="(?:https?:)?\/\/[^"]*"/gi,
  /<link\b[^>]*?\shref="(?:https?:)?\/\/[^"]*"/gi,
  /@import\s+["'](?:https?:)?\/\/[^;]*/gi,
  /url\(["']?(?:https?:)?\/\/[^)]*\)/gi,
];

/** Each such request of the files in `folder`, as `file: what`. */
export function outsideRequests(folder: string): string[] {
  return globSync("**/*.{html,css}", { cwd: folder })
    .sort()
    .flatMap((file) => requestsOf(readFileSync(join(folder, file), "utf8")).map((what) => `${file}: ${what}`));
}

/** Each such request of one text. */
export function requestsOf(text: string): string[] {
  return FETCHED.flatMap((pattern) => text.match(pattern) ?? []);
}
