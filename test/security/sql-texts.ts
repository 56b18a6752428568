/** Which texts reach Postgres as SQL and not as values, and whether each of them is written in the source as it stands. */
import { dotted, find, isNode, type Node, type Source } from "../tidy/source.ts";

/** Functions of the store that put some of their arguments into a statement's text: those who call them give constants. */
const BUILDERS: Readonly<Record<string, readonly number[]>> = {
  among: [1, 2, 3],
  eventsOf: [1, 3],
  extended: [0],
  extendedLease: [1],
  isLiveBroker: [0],
  its: [0],
  jobOf: [1, 2],
  namedJobs: [1],
  unready: [1, 2, 3],
};

/** Texts that are no constants, each by its file and its source, and why no caller of the broker can reach it. */
export const EXCEPTIONS: Readonly<Record<string, string>> = {
  "src/store/statement-text.ts: text": "where tagged templates become text and numbered parameters",
  "src/store/lines.ts: ...args": "hands on what its callers give, who are held to this themselves",
  'src/store/lines.ts: `BEGIN ${how.replace(/[^a-z ]/gi, "")}`': "letters and spaces alone, as the driver's own begin",
  "src/store/claim-takers.ts: instance": "a column or NULL, of three constant texts in that file",
  "src/store/claim-takers.ts: session": "the same",
  "src/store/claim-takers.ts: worker": "the same",
  "src/store/webhooks.ts: which": "IS NULL or IS NOT NULL, in that file",
  "src/store/cut-over.ts: `DROP INDEX CONCURRENTLY IF EXISTS ${name}`": "names of a list in that file; `migrate` only",
  "src/store/migrate-steps.ts: `DROP INDEX CONCURRENTLY IF EXISTS ${name}`": "names of its own steps; `migrate` only",
  "src/store/migrate-steps.ts: `CREATE ${definition}`": "definitions of its own steps; `migrate` only",
  "src/store/prune.ts: kept": "names out of the catalog, as Postgres quotes them (prune-references.ts)",
  "src/store/statistics.ts: `ANALYZE ${name}`": "names out of the catalog, of a list of four tables",
  "src/store/triggers.ts: `DROP TRIGGER IF EXISTS ${name} ON ai_job`": "names of a list in that file; `migrate` only",
  "src/store/triggers.ts: text": "texts of that file, with the schema's name as Postgres quotes it; `migrate` only",
};

/** Each text that is put into SQL and is no constant: `path: its source`. */
export function looseTexts(source: Source): string[] {
  const constants = constantsOf(source);
  const calls = find(source, (node) => node.type === "CallExpression");
  return calls.flatMap((node) => {
    const name = dotted(node["callee"]);
    const args = node["arguments"] as Node[];
    const inStore = source.path.startsWith("src/store/");
    const places = /\.(unsafe|raw)$/.test(name) ? [0] : (inStore && BUILDERS[name]) || [];
    return args
      .filter((_, at) => places.includes(at))
      .filter((text) => !isConstant(text, constants) && !isParameterOfBuilder(source, text))
      .map((text) => `${source.path}: ${source.text.slice(text.start, text.end)}`);
  });
}

/** Names of the file that always mean the same text: imported or local ones in capitals, and constants of constants. */
function constantsOf(source: Source): Set<string> {
  const known = new Set<string>();
  for (const node of find(source, (one) => one.type === "ImportSpecifier")) {
    const name = dotted(node["local"]);
    if (/^[A-Z][A-Z_\d]*$/.test(name)) known.add(name);
  }
  for (let grown = true; grown; ) {
    grown = false;
    for (const node of find(source, (one) => one.type === "VariableDeclarator")) {
      const name = dotted(node["id"]);
      if (name === "" || known.has(name) || !isConstant(node["init"] as Node, known)) continue;
      known.add(name);
      grown = true;
    }
  }
  return known;
}

function isConstant(node: unknown, known: ReadonlySet<string>): boolean {
  if (!isNode(node)) return false;
  const all = (nodes: unknown) => (nodes as unknown[]).every((one) => isConstant(one, known));
  switch (node.type) {
    case "Literal":
      return true;
    case "Identifier":
      return known.has(dotted(node)) || dotted(node) === "undefined";
    case "TemplateLiteral":
      return all(node["expressions"]);
    case "ArrayExpression":
      return all(node["elements"]);
    case "ObjectExpression":
      return (node["properties"] as Node[]).every((one) => isConstant(one["value"], known));
    case "ConditionalExpression":
      return all([node["consequent"], node["alternate"]]);
    case "TSAsExpression":
    case "TSSatisfiesExpression":
      return isConstant(node["expression"], known);
    case "CallExpression":
      return (
        /^(String|isLiveBroker)$|\.join$/.test(dotted(node["callee"]) || joined(node, known)) && all(node["arguments"])
      );
    default:
      return false;
  }
}

/** `[…].join(…)` of constants. */
function joined(node: Node, known: ReadonlySet<string>): string {
  const callee = node["callee"] as Node;
  return callee.type === "MemberExpression" &&
    isConstant(callee["object"], known) &&
    dotted(callee["property"]) === "join"
    ? "constants.join"
    : "";
}

/** Whether the text stands in a builder and is made of its parameters, which its callers are held to. */
function isParameterOfBuilder(source: Source, text: Node): boolean {
  const [inside] = find(source, (node, above) => {
    if (node !== text) return false;
    return above.some((one, at) => {
      const name =
        one.type === "FunctionDeclaration" ? dotted(one["id"]) : dotted((above[at - 1] as Node | undefined)?.["id"]);
      return /Function/.test(one.type) && name in BUILDERS;
    });
  });
  return inside !== undefined;
}
