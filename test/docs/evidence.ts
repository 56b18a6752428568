/** What docs/guarantees.md calls as witnesses, and which of it is not there. */
import { dotted, isNode, type Node, type Source, walk } from "../tidy/source.ts";

/** What there is to call. */
export interface Known {
  /** The tests of a file, as testNames gives them; undefined where there is no such file. */
  testsOf: (path: string) => readonly string[] | undefined;
  cells: readonly string[];
  /** The rules of the history checker, with the invariant that each holds. */
  rules: ReadonlyMap<string, number>;
}

/** One line of the page that calls a witness. */
interface Call {
  line: number;
  text: string;
}

const TEST_LINE = /^- \[(test\/[^\]]+)\]\(\.\.\/([^)]+)\): ("[^"]+"(?:, "[^"]+")*)$/;
const CELLS_LINE = /^- Cells: (`[a-z-]+`(?: `[a-z-]+`)*)$/;
const INVARIANT_ROW = /^\| (\d+) \| [^|]+ \| ([^|]+) \|$/;

/** Every line that names what is not there, as `page:line: what is wrong`. */
export function evidenceFaults(page: string, text: string, known: Known): string[] {
  const lines = text.split("\n").map((line, at): Call => ({ line: at + 1, text: line }));
  return lines.flatMap((call) => faultsOf(call, known).map((fault) => `${page}:${call.line}: ${fault}`));
}

/** The cells and rules that no line of the page names: a promise for them is missing. */
export function unnamed(text: string, known: Known): string[] {
  const named = new Set(Array.from(text.matchAll(/`([a-z-]+)`/g), ([, name]) => name));
  return [...known.cells, ...known.rules.keys()].filter((name) => !named.has(name));
}

function faultsOf({ text }: Call, known: Known): string[] {
  if (text.startsWith("- [test/")) return testFaults(text, known);
  if (text.startsWith("- Cells")) {
    const names = CELLS_LINE.exec(text)?.[1];
    if (names === undefined) return ["reads as no list of cells: - Cells: `one` `other`"];
    return ticked(names)
      .filter((name) => !known.cells.includes(name))
      .map((name) => `no cell '${name}' (npm run faults -- --list)`);
  }
  const [, number, held = ""] = INVARIANT_ROW.exec(text) ?? [];
  if (number === undefined || held.startsWith("tests: ")) return [];
  return ticked(held).flatMap((name) => {
    const invariant = known.rules.get(name);
    if (invariant === undefined) return [`the checker has no rule '${name}'`];
    return invariant === Number(number) ? [] : [`'${name}' holds invariant ${invariant}`];
  });
}

function testFaults(text: string, { testsOf }: Known): string[] {
  const [, path = "", target, quoted = ""] = TEST_LINE.exec(text) ?? [];
  if (path === "") return ['reads as no list of tests: - [test/FILE](../test/FILE): "one", "other"'];
  if (target !== path) return [`the link leads to ${target}`];
  const names = testsOf(path);
  if (names === undefined) return [`no file ${path}`];
  return Array.from(quoted.matchAll(/"([^"]+)"/g), ([, name = ""]) => name)
    .filter((name) => !names.some((one) => one === name || one.endsWith(` > ${name}`)))
    .map((name) => `${path} has no test "${name}"`);
}

function ticked(text: string): string[] {
  return Array.from(text.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
}

/**
 * The names of a file's tests and chapters, as Vitest joins them: chapters first, ` > ` between. What a name takes from
 * a table or a variable stands as `…`.
 */
export function testNames(source: Source): string[] {
  const names: string[] = [];
  walk(source.program, (node, above) => {
    const name = nameOf(node);
    if (name !== undefined) names.push([...above.map(nameOf).filter((one) => one !== undefined), name].join(" > "));
  });
  return names;
}

/** Of a call such as `test("name", () => …)` or `describe.each([…])("name", …)`; undefined for whatever else. */
function nameOf(node: Node): string | undefined {
  if (node.type !== "CallExpression" || !/^(test|describe|plain|plainTest)$/.test(rootOf(node["callee"]))) return;
  const [first] = node["arguments"] as unknown[];
  if (!isNode(first)) return;
  if (first.type === "Literal" && typeof first["value"] === "string") return variable(first["value"]);
  if (first.type !== "TemplateLiteral") return;
  const texts = (first["quasis"] as Node[]).map((part) => (part["value"] as { cooked: string }).cooked);
  return texts.map(variable).join("…");
}

/** The first name in `test.each([…])`, `test.for`, `describe` and the like. */
function rootOf(callee: unknown): string {
  if (!isNode(callee)) return "";
  if (callee.type === "CallExpression") return rootOf(callee["callee"]);
  return dotted(callee).split(".")[0] ?? "";
}

function variable(text: string): string {
  return text.replaceAll(/%[sdifjo]|\$\w+/g, "…");
}
