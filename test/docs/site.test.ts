/** The site of docs/: which files are its pages, what becomes of links, and its reference, made of the contract. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { svgOf } from "../../docs/.vitepress/diagrams.ts";
import { linkOf } from "../../docs/.vitepress/links.ts";
import { pathOf, ROOT, sidebar } from "../../docs/.vitepress/pages.ts";
import { deadAnchorsOf } from "../../scripts/docs/anchors.ts";
import { requestsOf } from "../../scripts/docs/outside.ts";
import { protoPages } from "../../scripts/docs/proto-pages.ts";
import { sdkPage } from "../../scripts/docs/sdk-page.ts";

interface Item {
  link?: string;
  items?: Item[];
}

const linksOf = (items: readonly Item[]): string[] =>
  items.flatMap(({ link, items: below = [] }) => [...(link === undefined ? [] : [link]), ...linksOf(below)]);

describe("the sidebar", () => {
  test("leads to every page of docs/, and to nothing twice", () => {
    const pages = globSync("docs/**/*.md", { cwd: ROOT })
      .map((file) => pathOf(file.replaceAll("\\", "/")))
      .filter((path) => path !== undefined && !path.startsWith("reference/") && path !== "index.md")
      .map((path) => `/${path?.replace(/\.md$/, "")}`);
    const linked = linksOf(sidebar() as Item[]);
    expect(pages.length).toBeGreaterThan(40);
    expect(pages.filter((page) => !linked.includes(page))).toEqual([]);
    expect(linked).toEqual([...new Set(linked)]);
  });
});

describe("a link", () => {
  test.each([
    ["docs/faq.md", "guarantees.md#order", { kind: "to", href: "/guarantees.md#order" }],
    ["docs/guarantees.md", "../SECURITY.md", { kind: "to", href: "/security.md" }],
    ["SECURITY.md", "docs/errors.md", { kind: "to", href: "/errors.md" }],
    ["docs/webhooks.md", "../examples/receiver-python", { kind: "to", href: "/examples/receiver-python/index.md" }],
    ["docs/other-languages.md", "../proto/aibroker/v1", { kind: "to", href: "/reference/worker-service.md" }],
    ["docs/faq.md", "no-such-page.md", { kind: "as it is" }],
    ["docs/faq.md", "#jobs", { kind: "as it is" }],
    ["docs/faq.md", "https://example.org/a.md", { kind: "as it is" }],
  ])("of %s to %s", (file, href, link) => {
    expect(linkOf(file, href, undefined)).toEqual(link);
  });

  test("to a file that is no page goes to the repository, or is plain text where none is known", () => {
    expect(linkOf("docs/lifecycle.md", "../src/job/lifecycle.ts", undefined)).toEqual({ kind: "text" });
    expect(linkOf("docs/lifecycle.md", "../src/job/lifecycle.ts", "https://example.org/broker")).toEqual({
      kind: "to",
      href: "https://example.org/broker/blob/HEAD/src/job/lifecycle.ts",
    });
  });
});

describe("the reference", () => {
  const field = { number: 1, label: Label.OPTIONAL, type: Type.STRING };
  const file = create(FileDescriptorProtoSchema, {
    name: "a/v1/box_service.proto",
    package: "a.v1",
    service: [
      {
        name: "BoxService",
        method: [{ name: "Open", inputType: ".a.v1.Box", outputType: ".a.v1.Box", serverStreaming: true }],
      },
    ],
    messageType: [
      {
        name: "Box",
        field: [
          { ...field, name: "by_name", typeName: ".a.v1.Box.ByNameEntry", type: Type.MESSAGE, label: Label.REPEATED },
          { ...field, name: "size", number: 2, proto3Optional: true, oneofIndex: 1 },
          {
            ...field,
            name: "made_at",
            number: 3,
            type: Type.MESSAGE,
            typeName: ".google.protobuf.Timestamp",
            oneofIndex: 0,
          },
        ],
        oneofDecl: [{ name: "when" }, { name: "_size" }],
        nestedType: [
          {
            name: "ByNameEntry",
            options: { mapEntry: true },
            field: [
              { ...field, name: "key" },
              { ...field, name: "value", number: 2, type: Type.ENUM, typeName: ".a.v1.Kind" },
            ],
          },
        ],
      },
    ],
    enumType: [{ name: "Kind", value: [{ name: "KIND_NEW", number: 1 }] }],
    sourceCodeInfo: {
      location: [
        { path: [12], span: [1], leadingComments: " What boxes are for; docs/errors.md says more.\n" },
        { path: [6, 0, 2, 0], span: [4], leadingComments: " Opens one.\n" },
        { path: [4, 0], span: [9] },
        { path: [4, 0, 2, 1], span: [10], leadingComments: " 1..9, or a|b for\n <name>.\n" },
        { path: [5, 0], span: [7], leadingComments: " Which it is.\n" },
      ],
    },
  });

  test("has services, then types in the order of the file, with their comments and links", () => {
    const [page] = protoPages([file], "a.v1");
    expect(page?.name).toBe("box-service.md");
    expect(page?.text.split("\n").slice(2).join("\n")).toBe(`# BoxService {#top}

What boxes are for; [docs/errors.md](../errors.md) says more.

## Open {#rpc-open}

\`a.v1.BoxService/Open\` takes [Box](box-service.md#box) and answers a stream of [Box](box-service.md#box).

Opens one.

## Kind {#kind}

Which it is.

| value | no. | |
|---|---|---|
| \`KIND_NEW\` | 1 |  |

## Box {#box}

| field | type | no. | |
|---|---|---|---|
| \`by_name\` | map of string to [Kind](box-service.md#kind) | 1 |  |
| \`size\` | optional string | 2 | 1..9, or a\\|b for &lt;name>. |
| \`made_at\` | Timestamp | 3 | One of \`when\`. |
`);
  });

  test("of another package's files has no page", () => {
    expect(protoPages([file], "b.v1")).toEqual([]);
  });

  test("of the SDK shows what is exported, without bodies and private parts", () => {
    const page = sdkPage(ROOT, [{ name: "ai-job-broker/client", path: "src/client/index.ts", about: "About." }]);
    expect(page).toContain("\n### createClient\n\nMakes a client.");
    expect(page).toContain("createClient<M extends object = AnyJobTypes>(options: ClientOptions<M>): Client<M>;\n```");
    expect(page).toMatch(/\n {2}\/\*\* Resolves when the job is durable\. \*\/\n {2}dispatch<T extends TypeName<M>>\(/);
    expect(page).toContain("\n### ReceivedJob\n");
    expect(page).not.toMatch(/#caller|await |constructor\(\{/);
  });
});

test("each picture of docs/ is drawn, and has nothing from elsewhere", () => {
  const pictures = globSync("docs/*.md", { cwd: ROOT }).flatMap((file) =>
    Array.from(
      readFileSync(join(ROOT, file), "utf8").matchAll(/^```mermaid\n([\s\S]*?)^```$/gm),
      ([, text = ""]) => text,
    ),
  );
  expect(pictures.length).toBeGreaterThan(1);
  for (const text of pictures) {
    const svg = svgOf(text, "dark");
    expect(svg).toMatch(/^<svg .*<\/svg>\s*$/s);
    expect(svg.match(/<text/g)?.length).toBeGreaterThan(10);
    expect(requestsOf(svg)).toEqual([]);
  }
});

test("a link to a heading that is not there is found, on its own page, another one, and the first one of a folder", () => {
  const pages = new Map([
    ["a.html", '<h2 id="one">One</h2><a href="#one">1</a><a href="#two">2</a><a href="https://example.org/#x">3</a>'],
    ["b/index.html", '<h2 id="drei-äpfel"></h2><a class="x" href="../a.html#one">1</a><a href="/a.html#three">2</a>'],
    ["c.html", '<a href="/b/#drei-%C3%A4pfel">1</a><a href="/b/#four">2</a><a href="/d.html#one">3</a>'],
  ]);
  expect(deadAnchorsOf(pages)).toEqual([
    "a.html: #two",
    "b/index.html: /a.html#three",
    "c.html: /b/#four",
    "c.html: /d.html#one",
  ]);
});

test("a page that fetches from elsewhere is found, one that links there is not", () => {
  const there = "https://fonts.example.org/a";
  for (const bad of [
    `<script src="${there}.js"></script>`,
    `<link rel="stylesheet" href="${there}.css">`,
    `<img alt="" src="//fonts.example.org/a.png">`,
    `@import url("${there}.css");`,
    `@import "${there}.css";`,
    `src: url(${there}.woff2)`,
  ]) {
    expect(requestsOf(bad), bad).toHaveLength(1);
  }
  expect(requestsOf(`<a href="${there}">a</a><img src="/a.png"><link href="/a.css">url(data:image/png)`)).toEqual([]);
});
