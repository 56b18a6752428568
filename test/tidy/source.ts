/** One TypeScript file as the rules see it: parsed, so that a rule reads code and never what stands in a text. */
import { posix } from "node:path";
import { parseSync } from "vite";

export interface Node {
  type: string;
  start: number;
  end: number;
  [key: string]: unknown;
}

export interface Comment {
  text: string;
  start: number;
}

export interface Source {
  /** From the root, with forward slashes. */
  path: string;
  text: string;
  program: Node;
  comments: Comment[];
}

/** One import of anything, in whatever spelling. */
export interface Import {
  specifier: string;
  /** Only types come through it, so it is gone at run time. */
  typeOnly: boolean;
  start: number;
}

/** Parses a file. Throws on a syntax error, naming the file. */
export function parse(path: string, text: string): Source {
  const { program, comments, errors } = parseSync(path, text);
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`);
  return {
    path,
    text,
    program: program as unknown as Node,
    comments: comments.map((comment) => ({ text: comment.value, start: comment.start })),
  };
}

/** Visits every node; `above` holds its ancestors, the nearest last. */
export function walk(
  node: Node,
  visit: (node: Node, above: readonly Node[]) => void,
  above: readonly Node[] = [],
): void {
  visit(node, above);
  const below = [...above, node];
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) walk(child, visit, below);
    }
  }
}

/** All nodes for which `wanted` holds. */
export function find(source: Source, wanted: (node: Node, above: readonly Node[]) => boolean): Node[] {
  const found: Node[] = [];
  walk(source.program, (node, above) => {
    if (wanted(node, above)) found.push(node);
  });
  return found;
}

/** The dotted name of an expression such as `process.env.X`; "" for what has none. */
export function dotted(node: unknown): string {
  if (!isNode(node)) return "";
  if (node.type === "Identifier") return String(node["name"]);
  if (node.type === "ThisExpression") return "this";
  if (node.type !== "MemberExpression") return "";
  const property = node["property"];
  const name = isNode(property) && property.type === "Literal" ? String(property["value"]) : dotted(property);
  return `${dotted(node["object"])}.${name}`;
}

/** `path:line`, as editors open it. */
export function place(source: Source, start: number): string {
  return `${source.path}:${source.text.slice(0, start).split("\n").length}`;
}

/** Every import, export … from, import(), import type and `new URL("…", import.meta.url)` of the file. */
export function importsOf(source: Source): Import[] {
  const imports: Import[] = [];
  walk(source.program, (node) => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) imports.push({ specifier, typeOnly: isTypeOnly(node), start: node.start });
  });
  return imports;
}

/** The path that a relative specifier means, from the root. */
export function resolveFrom(path: string, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(path), specifier));
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

function specifierOf(node: Node): string | undefined {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSImportType":
      return literal(node["source"]);
    case "NewExpression": {
      const [first, second] = node["arguments"] as unknown[];
      const here = isNode(second) && second.type === "MemberExpression" && dotted(second["property"]) === "url";
      const path = dotted(node["callee"]) === "URL" && here ? literal(first) : undefined;
      return path?.endsWith(".ts") ? path : undefined;
    }
    default:
      return undefined;
  }
}

function isTypeOnly(node: Node): boolean {
  if (node.type === "TSImportType" || node["importKind"] === "type" || node["exportKind"] === "type") return true;
  const specifiers = (node["specifiers"] ?? []) as Node[];
  return (
    specifiers.length > 0 && specifiers.every((one) => one["importKind"] === "type" || one["exportKind"] === "type")
  );
}

function literal(node: unknown): string | undefined {
  return isNode(node) && node.type === "Literal" && typeof node["value"] === "string" ? node["value"] : undefined;
}
