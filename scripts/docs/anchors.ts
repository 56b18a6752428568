/** Links of a built site into the middle of its pages: VitePress looks whether the page is there, and not the heading. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Links to headings that are not there, as `file: link`. */
export function deadAnchors(folder: string): string[] {
  const files = globSync("**/*.html", { cwd: folder }).map((file) => file.replaceAll("\\", "/"));
  return deadAnchorsOf(new Map(files.sort().map((file) => [file, readFileSync(join(folder, file), "utf8")])));
}

/** The same for pages that are given by their paths. */
export function deadAnchorsOf(pages: ReadonlyMap<string, string>): string[] {
  const anchors = new Map(Array.from(pages, ([file, html]) => [file, new Set(all(html, / id="([^"]+)"/g))]));
  return Array.from(pages).flatMap(([file, html]) => {
    const links = new Set(all(html, /<a\b[^>]*? href="([^"]*#[^"]+)"/g));
    return [...links].filter((link) => isDead(link, file, anchors)).map((link) => `${file}: ${link}`);
  });
}

function isDead(link: string, file: string, anchors: ReadonlyMap<string, ReadonlySet<string>>): boolean {
  const here = "http://here/";
  const { href, pathname, hash } = new URL(link, `${here}${file}`);
  if (!href.startsWith(here)) return false;
  const path = decodeURIComponent(pathname.slice(1)).replace(/(^|\/)$/, "$1index.html");
  // The skip link of the theme leads to what its script makes.
  return hash !== "#VPContent" && anchors.get(path)?.has(decodeURIComponent(hash.slice(1))) !== true;
}

function all(text: string, pattern: RegExp): string[] {
  return Array.from(text.matchAll(pattern), ([, found = ""]) => found);
}
