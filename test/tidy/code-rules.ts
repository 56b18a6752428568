/** The rules that read one TypeScript file. Each returns its faults as lines, `path:line: what is wrong`. */
import { posix } from "node:path";
import { dotted, find, importsOf, isNode, type Node, place, type Source } from "./source.ts";

export interface CodeRule {
  name: string;
  /** Whether the rule looks at the file at all. */
  at: (path: string) => boolean;
  faults: (source: Source) => string[];
}

const MAX_FILE_LINES = 300;
const MAX_FUNCTION_LINES = 69;

const inSrc = (path: string): boolean => path.startsWith("src/");
const inTests = (path: string): boolean => path.startsWith("test/");
const everywhere = (): boolean => true;

export const CODE_RULES: readonly CodeRule[] = [
  { name: "a file has at most 300 lines", at: everywhere, faults: longFile },
  { name: "a function has fewer than 70 lines", at: everywhere, faults: longFunctions },
  {
    name: "console is for the CLI",
    at: (path) => inTests(path) || (inSrc(path) && !/^src\/(cli\/|cli\.ts$|main\.ts$)/.test(path)),
    faults: uses(/^(globalThis\.)?console\./, "use the logger that is passed in"),
  },
  {
    name: "only config reads the environment",
    at: (path) => inSrc(path) && path !== "src/config.ts",
    faults: readsEnvironment,
  },
  {
    name: "intervals are loops",
    at: (path) => inSrc(path) && path !== "src/loops/loop.ts",
    faults: calls(/(^|\.)setInterval$/, "runs may overlap and never end: use loops/loop.ts"),
  },
  { name: "SQL stays in the store", at: (path) => inSrc(path) && !path.startsWith("src/store/"), faults: sqlOutside },
  { name: "relative imports end in .ts", at: everywhere, faults: extensions },
  { name: "tests are not switched off or singled out", at: inTests, faults: switchedOff },
  { name: "a test asserts something", at: (path) => path.endsWith(".test.ts"), faults: assertsNothing },
  { name: "tests do not sleep", at: (path) => inTests(path) && !path.startsWith("test/support/"), faults: sleeps },
  { name: "nothing is left to do", at: everywhere, faults: leftovers },
  { name: "file names are kebab-case", at: everywhere, faults: fileName },
  { name: "names say what a thing is", at: everywhere, faults: vagueNames },
];

function longFile({ path, text }: Source): string[] {
  const lines = text.trimEnd().split("\n").length;
  return lines > MAX_FILE_LINES ? [`${path}: ${lines} lines, at most ${MAX_FILE_LINES}: give it fewer concepts`] : [];
}

function longFunctions(source: Source): string[] {
  const functions = find(source, (node, above) => {
    if (!/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) return false;
    const parent = above.at(-1);
    // A describe's callback is a chapter of tests, not a function.
    return !(parent?.type === "CallExpression" && dotted(parent["callee"]).startsWith("describe"));
  });
  return functions.flatMap((node) => {
    const lines = source.text.slice(node.start, node.end).split("\n").length;
    return lines > MAX_FUNCTION_LINES ? [`${place(source, node.start)}: a function of ${lines} lines, split it`] : [];
  });
}

function readsEnvironment(source: Source): string[] {
  const advice = "take the value as an argument; only src/config.ts reads the environment";
  const imported = find(
    source,
    (node, above) =>
      node.type === "ImportSpecifier" &&
      dotted(node["imported"]) === "env" &&
      /^(node:)?process$/.test(importedFrom(above.at(-1))),
  );
  return [
    ...uses(/(^|\.)process\.env$/, advice)(source),
    ...imported.map((node) => `${place(source, node.start)}: env of node:process: ${advice}`),
  ];
}

function sqlOutside(source: Source): string[] {
  // Capital keywords only: English is free to select and update.
  const statement =
    /\bSELECT\b[\s\S]+\bFROM\b|\bINSERT INTO\b|\bUPDATE\s+\S+\s+SET\b|\bDELETE FROM\b|\b(CREATE|ALTER|DROP) (TABLE|INDEX|TRIGGER)\b|\b(LISTEN|NOTIFY) \w/;
  const found = find(source, (node) => {
    if (node.type === "TaggedTemplateExpression") return /(^|\.)(sql|tx|reserved)$/.test(dotted(node["tag"]));
    if (node.type === "CallExpression") return /\.unsafe$/.test(dotted(node["callee"]));
    if (node.type === "Literal") return typeof node["value"] === "string" && statement.test(node["value"]);
    return node.type === "TemplateLiteral" && statement.test(source.text.slice(node.start, node.end));
  });
  return found.map((node) => `${place(source, node.start)}: SQL outside src/store/: write a store function for it`);
}

function extensions(source: Source): string[] {
  return importsOf(source)
    .filter(({ specifier }) => specifier.startsWith(".") && !/\.(tsx?|json)$/.test(specifier))
    .map(({ specifier, start }) => `${place(source, start)}: '${specifier}' must name the file with its .ts`);
}

function switchedOff(source: Source): string[] {
  const off = /^(test|it|describe|suite|bench)(\.\w+)*\.(only|skip|todo|fails)$|^(xit|xtest|xdescribe|fit|fdescribe)$/;
  return [...uses(off, "run it or delete it")(source), ...calls(/^(xit|xtest|xdescribe|fit|fdescribe)$/, "no")(source)];
}

/** By itself, or by a function of its file: expect, a property, or what fails where something does not come, or comes. */
const ASSERTS = /\b(expect\w*|until|waitFor|withstands|refused|takeJobs?|hearAll)\s*[(<.]|\bfc\.assert\b/;

function assertsNothing(source: Source): string[] {
  const textOf = ({ start, end }: Node) => source.text.slice(start, end);
  const own = find(source, (node, above) => {
    const named = node.type === "FunctionDeclaration" || node.type === "VariableDeclarator";
    return named && above.length === 1 + Number(node.type === "VariableDeclarator") && ASSERTS.test(textOf(node));
  })
    .map((node) => dotted(node["id"]))
    .filter((name) => name !== "");
  const asserts = (text: string) => ASSERTS.test(text) || own.some((name) => new RegExp(`\\b${name}\\b`).test(text));
  const tests = find(source, (node) => node.type === "CallExpression" && /^(test|it)\b/.test(textOf(node)));
  return tests
    .flatMap((node) => (node["arguments"] as Node[]).filter(({ type }) => type.endsWith("FunctionExpression")))
    .filter((body) => !asserts(textOf(body)))
    .map((body) => `${place(source, body.start)}: a test that cannot fail: expect something`);
}

function sleeps(source: Source): string[] {
  const advice = "wait for a signal or a condition, or fake the time";
  const slow = find(source, (node, above) => {
    if (node.type === "Literal") return typeof node["value"] === "string" && /pg_sleep\s*\(/.test(node["value"]);
    if (node.type === "TemplateElement") return /pg_sleep\s*\(/.test(String((node["value"] as { raw: string }).raw));
    if (node.type === "ImportDeclaration") return /^(node:)?timers\/promises$/.test(importedFrom(node));
    return (
      node.type === "CallExpression" && /(^|\.)setTimeout$/.test(dotted(node["callee"])) && resolvesAfter(node, above)
    );
  });
  return slow.map((node) => `${place(source, node.start)}: a sleep: ${advice}`);
}

/** `new Promise((resolve) => setTimeout(resolve, …))`; a timeout that rejects is a deadline, and fine. */
function resolvesAfter(call: Node, above: readonly Node[]): boolean {
  const promise = above.findLast((node) => node.type === "NewExpression" && dotted(node["callee"]) === "Promise");
  const executor = (promise?.["arguments"] as Node[] | undefined)?.[0];
  const resolve = dotted((executor?.["params"] as Node[] | undefined)?.[0]);
  const callback = (call["arguments"] as Node[])[0];
  if (resolve === "" || callback === undefined) return false;
  if (dotted(callback) === resolve) return true;
  const body = callback["body"];
  return isNode(body) && body.type === "CallExpression" && dotted(body["callee"]) === resolve;
}

function leftovers(source: Source): string[] {
  return source.comments
    .filter(({ text }) => /\b(TODO|FIXME|XXX|HACK)\b/.test(text))
    .map(({ start }) => `${place(source, start)}: a note to do something: do it, or open an issue`);
}

function fileName({ path }: Source): string[] {
  const bad = path.split("/").filter((part) => !/^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*$/.test(part));
  return bad.map((part) => `${path}: '${part}' is not kebab-case`);
}

function vagueNames(source: Source): string[] {
  const vague = /(Manager|Helpers?|Utils?|Repository)$/i;
  const advice = "name it after what it does (house rule: no Manager, Helper, Util, Repository)";
  const stem = posix.basename(source.path).split(".")[0] ?? "";
  const declared = find(
    source,
    (node) =>
      /^(FunctionDeclaration|ClassDeclaration|TSInterfaceDeclaration|TSTypeAliasDeclaration|VariableDeclarator)$/.test(
        node.type,
      ) && vague.test(dotted(node["id"])),
  );
  return [
    ...(vague.test(stem) ? [`${source.path}: ${advice}`] : []),
    ...declared.map((node) => `${place(source, node.start)}: ${dotted(node["id"])}: ${advice}`),
  ];
}

function importedFrom(declaration: Node | undefined): string {
  const source = declaration?.["source"];
  return isNode(source) ? String(source["value"]) : "";
}

function uses(name: RegExp, advice: string): (source: Source) => string[] {
  return (source) =>
    find(source, (node) => node.type === "MemberExpression" && name.test(dotted(node))).map(
      (node) => `${place(source, node.start)}: ${dotted(node)}: ${advice}`,
    );
}

function calls(name: RegExp, advice: string): (source: Source) => string[] {
  return (source) =>
    find(source, (node) => node.type === "CallExpression" && name.test(dotted(node["callee"]))).map(
      (node) => `${place(source, node.start)}: ${dotted(node["callee"])}: ${advice}`,
    );
}
