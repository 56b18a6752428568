/** The documentation as a site: `npm run docs`. Its pages are the Markdown files that GitHub shows. */
import { defineConfig } from "vitepress";
import { diagrams } from "./diagrams.ts";
import { anchorOf, links } from "./links.ts";
import { NO_PAGES, pathOf, sidebar } from "./pages.ts";

export default defineConfig({
  title: "ai-job-broker",
  description: "A job broker for AI work on Postgres: gRPC, leases that are fenced, and REST for legacy workers.",
  srcDir: "..",
  srcExclude: [...NO_PAGES],
  rewrites: (file) => pathOf(file) ?? file,
  // Else a browser would ask for one that is not there.
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: {
    anchor: { slugify: anchorOf },
    config: (md) => {
      links(md);
      diagrams(md);
    },
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    sidebar: sidebar(),
    nav: [
      { text: "Guide", link: "/guide" },
      { text: "Guarantees", link: "/guarantees" },
      { text: "Reference", link: "/reference/worker-service" },
      { text: "Questions", link: "/faq" },
    ],
  },
});
