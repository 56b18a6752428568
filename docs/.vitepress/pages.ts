/** Which files of the repository are pages of the site, under which path, and how its sidebar leads to them. */
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DefaultTheme } from "vitepress";

export const ROOT = resolve(import.meta.dirname, "../..");

/** What lies outside docs/ and has its page all the same; GitHub looks for the first three just there. */
const OUTSIDE: Readonly<Record<string, string>> = {
  "SECURITY.md": "security.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changelog.md",
  "README.md": "index.md",
  "proto/aibroker/v1": "reference/worker-service.md",
};

/** The path on the site of a file or folder of the repository; undefined where it has none. With forward slashes. */
export function pathOf(file: string): string | undefined {
  if (OUTSIDE[file] !== undefined) return OUTSIDE[file];
  if (!file.endsWith(".md") || file === "docs/decisions/000-template.md") return undefined;
  if (file.startsWith("docs/")) return file.slice("docs/".length);
  return file.startsWith("examples/") ? file.replace(/(^|\/)README\.md$/, "$1index.md") : undefined;
}

/** What is not looked at for pages, as patterns: the site's source is the whole repository. */
export const NO_PAGES: readonly string[] = [
  ...["bench", "bin", "coverage", "dist", "drizzle", "ops", "proto", "scripts", "src", "templates", "test"].map(
    (name) => `${name}/**`,
  ),
  "**/node_modules/**",
  "**/.*/**",
  "README.md",
  "docs/decisions/000-template.md",
];

const page = (text: string, path: string): DefaultTheme.SidebarItem => ({ text, link: `/${path}` });

/** Everything, in the order in which one may read it. */
export function sidebar(): DefaultTheme.SidebarItem[] {
  return [
    {
      text: "Guide",
      items: [
        page("The first hour", "guide"),
        page("The dashboard", "dashboard"),
        page("Examples", "examples/"),
        page("Questions, by symptom", "faq"),
      ],
    },
    {
      text: "Concepts",
      items: [
        page("What is guaranteed", "guarantees"),
        page("The life of a job", "lifecycle"),
        page("Architecture", "architecture"),
        page("Errors", "errors"),
        page("Webhooks", "webhooks"),
        page("A worker in another language", "other-languages"),
      ],
    },
    {
      text: "Reference",
      items: [...contract(), page("SDK", "reference/sdk"), page("Every call by grpcurl", "examples/grpcurl")],
    },
    {
      text: "Operations",
      items: [
        page("Deployment", "deploy"),
        page("Metrics, alerts, traces", "operations"),
        page("TLS", "tls"),
        page("Behind a proxy", "proxies"),
        page("Retention", "retention"),
        page("Performance", "performance"),
        page("Workers on EC2", "ec2"),
        page("Security", "security"),
        page("From Django, and back", "cut-over"),
      ],
    },
    {
      text: "The project",
      items: [
        page("Changes", "changelog"),
        page("Contributing", "contributing"),
        ...folder("Proof", "proof"),
        ...folder("Decisions", "decisions"),
      ],
    },
  ];
}

/** The pages that scripts/docs.ts makes of the contract, services first. */
function contract(): DefaultTheme.SidebarItem[] {
  const names = readdirSync(join(ROOT, "proto/aibroker/v1")).map((name) => name.replace(/\.proto$/, ""));
  const isService = (name: string) => name.endsWith("_service");
  const title = (name: string) => name.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const services = names.filter(isService).sort().reverse();
  return [...services, ...names.filter((name) => !isService(name)).sort()].map((name) =>
    page(title(name), `reference/${name.replaceAll("_", "-")}`),
  );
}

/** The pages of a folder of docs/, by their titles; nothing where there is no such folder. */
function folder(text: string, name: string): DefaultTheme.SidebarItem[] {
  const files = globSync(`docs/${name}/*.md`, { cwd: ROOT }).sort();
  const items = files.flatMap((file) => {
    const path = pathOf(file.replaceAll("\\", "/"))?.replace(/\.md$/, "");
    const title = /^# (.*)$/m.exec(readFileSync(join(ROOT, file), "utf8"))?.[1];
    return path === undefined ? [] : [page(title ?? path, path)];
  });
  return items.length === 0 ? [] : [{ text, collapsed: true, items }];
}
