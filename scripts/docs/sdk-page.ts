/** The SDK's reference: what the package exports, as it is declared, with its comments. Reads sources and runs none. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseSync } from "vite";

interface Node {
  type: string;
  start: number;
  end: number;
  [key: string]: unknown;
}

interface Parsed {
  text: string;
  body: readonly Node[];
  /** The doc comment that ends right before a place, as it stands there; "" where there is none. */
  docBefore: (start: number) => string;
}

interface Declared {
  name: string;
  doc: string;
  code: string;
  /** Functions and classes, which one calls. */
  isValue: boolean;
}

/** One way into the package. */
export interface Entry {
  /** For example ai-job-broker/client. */
  name: string;
  /** Its source, from the root. */
  path: string;
  /** What it is for, a sentence. */
  about: string;
}

/** The page for these entries of the sources in `root`. */
export function sdkPage(root: string, entries: readonly Entry[]): string {
  const parts = entries.map(({ name, path, about }) => {
    const declared = exportsOf(join(root, path));
    const inOrder = [...declared.filter(({ isValue }) => isValue), ...declared.filter(({ isValue }) => !isValue)];
    const texts = inOrder.map(
      ({ name, doc, code }) => `### ${name}\n\n${doc === "" ? "" : `${doc}\n\n`}\`\`\`ts\n${code}\n\`\`\``,
    );
    return [`## ${name}`, about, ...texts].join("\n\n");
  });
  const made = "<!-- Made of the sources by scripts/docs.ts; to change it, change the comments there. -->";
  return `${[made, "# SDK", ...parts].join("\n\n")}\n`;
}

/** What an index exports by name. Generated messages come by `export *`; they have pages of their own. */
function exportsOf(index: string): Declared[] {
  const { body } = parse(index);
  return body.flatMap((node) => {
    const from = node.type === "ExportNamedDeclaration" ? (node["source"] as Node | null) : null;
    if (from === null) return [];
    const file = parse(join(dirname(index), String(from["value"])));
    return (node["specifiers"] as Node[]).map((one) =>
      declaration(file, nameOf(one["local"]), nameOf(one["exported"])),
    );
  });
}

function declaration(file: Parsed, local: string, exported: string): Declared {
  for (const node of file.body) {
    const declared = node.type === "ExportNamedDeclaration" ? (node["declaration"] as Node | null) : null;
    if (declared === null || nameOf(declared["id"]) !== local) continue;
    const isValue = declared.type === "FunctionDeclaration" || declared.type === "ClassDeclaration";
    const code = codeOf(file, declared, file.docBefore(node.start));
    return { name: exported, doc: prose(file.docBefore(node.start)), code, isValue };
  }
  throw new Error(`${local} is exported and declared nowhere: export it from the file that declares it`);
}

function codeOf(file: Parsed, node: Node, doc: string): string {
  if (node.type === "ClassDeclaration") return classCode(file, node, doc);
  if (node.type !== "FunctionDeclaration") return file.text.slice(node.start, node.end);
  return `${signature(file, node.start, node["body"] as Node)};`;
}

/** The public side of a class: no bodies, nothing that is private, and no constructor where another function makes it. */
function classCode(file: Parsed, node: Node, doc: string): string {
  const body = node["body"] as Node;
  const members = (body["body"] as Node[]).flatMap((member) => {
    const key = member["key"] as Node;
    const name = nameOf(key);
    const isOurs = key.type === "PrivateIdentifier" || member["computed"] === true || name === "name";
    if (isOurs || (name === "constructor" && doc.includes(" Made by "))) return [];
    const value = member["value"] as Node | null;
    const inner = (value?.["body"] ?? null) as Node | null;
    const code =
      inner === null ? file.text.slice(member.start, value?.start ?? member.end) : signature(file, member.start, inner);
    const comment = file.docBefore(member.start);
    return [...(comment === "" ? [] : [`  ${comment}`]), `  ${code.replace(/[\s=;]*$/, "")};`];
  });
  const head = file.text.slice(node.start, body.start).trim();
  return members.length === 0 ? `${head} {}` : [`${head} {`, ...members, "}"].join("\n");
}

/** What stands before a body. */
function signature(file: Parsed, start: number, body: Node): string {
  return file.text
    .slice(start, body.start)
    .trim()
    .replace(/^async /, "");
}

function parse(path: string): Parsed {
  const text = readFileSync(path, "utf8");
  const { program, comments, errors } = parseSync(path, text);
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`);
  const docBefore = (start: number): string => {
    const last = comments.findLast(({ end }) => end <= start);
    const isDoc = last?.type === "Block" && last.value.startsWith("*") && text.slice(last.end, start).trim() === "";
    return isDoc ? text.slice(last.start, last.end) : "";
  };
  return { text, body: (program as unknown as { body: Node[] }).body, docBefore };
}

function nameOf(node: unknown): string {
  return String((node as { name?: unknown } | null)?.name ?? "");
}

/** A comment as Markdown: without its marks, and nothing in it is a tag. */
function prose(comment: string): string {
  const said = comment.replaceAll(/^\/\*\*|\*\/$/g, "").replaceAll(/^[ \t]*\*[ \t]?/gm, "");
  return said.trim().replaceAll("<", "&lt;");
}
