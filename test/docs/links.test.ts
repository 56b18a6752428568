/** Links between the repository's own pages lead to files and headings that are there, as GitHub shows them. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";
import { anchorOf } from "../../docs/.vitepress/links.ts";

const ROOT = resolve(import.meta.dirname, "../..");
// The reference is made when the site is built, which looks at its links.
const OTHERS = /node_modules|^docs\/(reference|\.vitepress)\b/;
const PAGES = ["*.md", "docs/**/*.md", "examples/**/*.md"]
  .flatMap((pattern) => globSync(pattern, { cwd: ROOT }))
  .map((page) => page.replaceAll("\\", "/"))
  .filter((page) => !OTHERS.test(page));

const textOf = (page: string) => readFileSync(join(ROOT, page), "utf8");

/** What is no code: links in examples of code are the example's. */
function prose(text: string): string {
  return text
    .replaceAll(/^(```+)[\s\S]*?^\1$/gm, (block) => block.replaceAll(/[^\n]/g, ""))
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, "."));
}

/** The anchors of a page's headings. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/^(```+)[\s\S]*?^\1$/gm, "").matchAll(/^#{1,6} (.*)$/gm);
  return Array.from(headings, ([, title = ""]) => anchorOf(title));
}

function faultsOf(page: string): string[] {
  return prose(textOf(page))
    .split("\n")
    .flatMap((line, at) =>
      Array.from(line.matchAll(/\]\(([^()\s]+)\)/g), ([, target = ""]) => target)
        .filter((target) => !/^[a-z]+:/.test(target))
        .flatMap((target) => {
          const [path = "", anchor] = target.split("#");
          const file = path === "" ? page : relative(ROOT, resolve(ROOT, dirname(page), path));
          if (!existsSync(join(ROOT, file))) return [`${page}:${at + 1}: no file ${file}`];
          if (anchor === undefined || !file.endsWith(".md") || anchorsOf(textOf(file)).includes(anchor)) return [];
          return [`${page}:${at + 1}: ${file} has no heading #${anchor}`];
        }),
    );
}

test("each link leads somewhere", () => {
  expect(PAGES.length).toBeGreaterThan(40);
  expect(PAGES.flatMap(faultsOf)).toEqual([]);
});

test("headings have the anchors that GitHub gives them", () => {
  expect(anchorsOf("# `serve`, at 2 o'clock\n```\n# no\n```\n## What is *not*: a_b – c\n")).toEqual([
    "serve-at-2-oclock",
    "what-is-not-a_b--c",
  ]);
});
