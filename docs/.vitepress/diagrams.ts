/** Mermaid's pictures, drawn when the site is built: GitHub draws them, VitePress does not. */
import { type DiagramColors, renderMermaidSVG } from "beautiful-mermaid";
import type { MarkdownRenderer } from "vitepress";

/** The default theme's own, by its two looks. */
const LOOKS: Readonly<Record<"light" | "dark", DiagramColors>> = {
  light: { bg: "#ffffff", fg: "#3c3c43", muted: "#67676c", surface: "#f6f6f7" },
  dark: { bg: "#1b1b1f", fg: "#dfdfd6", muted: "#98989f", surface: "#202127" },
};

/** A plugin of markdown-it. */
export function diagrams(md: MarkdownRenderer): void {
  const { fence } = md.renderer.rules;
  md.renderer.rules.fence = (tokens, at, options, env, self) => {
    const token = tokens[at];
    if (token?.info.trim() !== "mermaid") return fence?.(tokens, at, options, env, self) ?? "";
    const images = (["light", "dark"] as const).map(
      (look) => `<img class="${look}" alt="A diagram" src="${addressOf(svgOf(token.content, look))}">`,
    );
    return `<div class="diagram">${images.join("")}</div>\n`;
  };
}

/** One picture, without the font that it would have from elsewhere. */
export function svgOf(text: string, look: keyof typeof LOOKS): string {
  // A page is narrow: boxes go down, and states, whose labels are long, across.
  const turned = text.replace(/^flowchart LR/, "flowchart TB").replace(/^stateDiagram-v2/, "$&\n    direction LR");
  const tight = { nodeSpacing: 12, layerSpacing: 24, padding: 24 };
  const svg = renderMermaidSVG(turned, { ...LOOKS[look], ...tight, transparent: true, font: "system-ui" });
  return svg.replaceAll(/@import url\([^)]*\);/g, "");
}

/** As an image, since a style sheet within a page's own SVG is not let through. */
function addressOf(svg: string): string {
  return `data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`;
}
