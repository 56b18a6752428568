/** Links as GitHub takes them, made such that the site takes them, too. */
import { existsSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";
import type { MarkdownRenderer } from "vitepress";
import { pathOf, ROOT } from "./pages.ts";

type Token = ReturnType<MarkdownRenderer["parse"]>[number];

const { repository } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  repository?: { url: string };
};

/** What a link of a file becomes: a path on the site, an address, or nothing, which leaves its text alone. */
export type Link = { kind: "as it is" } | { kind: "to"; href: string } | { kind: "text" };

/**
 * A relative link to a page goes to where that is on the site. One to a file that is no page goes to the repository, where
 * package.json names one, and is plain text elsewhere. One to nothing stays, so that the build names it.
 */
export function linkOf(file: string, href: string, repositoryUrl: string | undefined): Link {
  if (/^([a-z]+:|#|\/)/.test(href)) return { kind: "as it is" };
  const [path = "", anchor] = href.split("#");
  const target = posix.normalize(posix.join(posix.dirname(file), path)).replace(/\/$/, "");
  if (!existsSync(join(ROOT, target))) return { kind: "as it is" };
  const readme = posix.join(target, "README.md");
  const page = pathOf(target) ?? (existsSync(join(ROOT, readme)) ? pathOf(readme) : undefined);
  if (page !== undefined) return { kind: "to", href: `/${page}${anchor === undefined ? "" : `#${anchor}`}` };
  return repositoryUrl === undefined ? { kind: "text" } : { kind: "to", href: `${repositoryUrl}/blob/HEAD/${target}` };
}

/** The anchor of a heading as GitHub makes it: lower case, without punctuation, blanks as dashes. */
export function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

/** A plugin of markdown-it. */
export function links(md: MarkdownRenderer): void {
  const url = repository?.url.replace(/^git\+|\.git$/g, "");
  md.core.ruler.after("inline", "repository_links", ({ tokens, env }) => {
    const { path, realPath } = env as { path: string; realPath?: string };
    const file = relative(ROOT, realPath ?? path).replaceAll("\\", "/");
    for (const { children } of tokens) rewrite(children ?? [], (href) => linkOf(file, href, url));
  });
}

function rewrite(tokens: Token[], link: (href: string) => Link): void {
  let isText = false;
  for (const token of tokens) {
    if (token.type === "link_open") {
      const to = link(token.attrGet("href") ?? "");
      isText = to.kind === "text";
      if (to.kind === "to") token.attrSet("href", to.href);
      if (isText) token.attrs = null;
    }
    if (isText && (token.type === "link_open" || token.type === "link_close")) token.tag = "span";
    if (token.type === "link_close") isText = false;
  }
}
