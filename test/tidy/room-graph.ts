/** Who imports whom in src/, as it is; and the picture of it, as a page draws it. */
import { roomOf } from "./rooms.ts";
import { importsOf, resolveFrom, type Source } from "./source.ts";

/** From room to room; `types` where nothing else comes through. */
export type RoomGraph = Map<string, Map<string, "values" | "types">>;

/** Files that import each other round about, each circle from its first file back to it; types count as well. */
export function circles(sources: readonly Source[]): string[] {
  const paths = new Set(sources.map(({ path }) => path));
  const targets = new Map(
    sources.map((source) => {
      const relative = importsOf(source).filter(({ specifier }) => specifier.startsWith("."));
      const to = relative.map(({ specifier }) => resolveFrom(source.path, specifier));
      return [source.path, [...new Set(to)].filter((path) => paths.has(path))];
    }),
  );
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) found.push([...way.slice(way.indexOf(path)), path].join(" → "));
    if (way.includes(path) || done.has(path)) return;
    for (const to of targets.get(path) ?? []) visit(to, [...way, path]);
    done.add(path);
  };
  for (const path of paths) visit(path, []);
  return found;
}

/** The imports between rooms. Every room is in it, also one that imports nothing. */
export function roomGraph(sources: readonly Source[]): RoomGraph {
  const graph: RoomGraph = new Map();
  for (const source of sources) {
    const from = roomOf(source.path);
    if (from === undefined) continue;
    const targets = graph.get(from) ?? new Map<string, "values" | "types">();
    graph.set(from, targets);
    for (const { specifier, typeOnly } of importsOf(source)) {
      const to = specifier.startsWith(".") ? roomOf(resolveFrom(source.path, specifier)) : undefined;
      if (to === undefined || to === from) continue;
      if (!typeOnly) targets.set(to, "values");
      else if (!targets.has(to)) targets.set(to, "types");
    }
  }
  return graph;
}

/** Without the arrows that say nothing new, since another way leads there too. The graph has no circle. */
export function withoutShortcuts(graph: RoomGraph): RoomGraph {
  const reach = (room: string): string[] =>
    [...(graph.get(room) ?? new Map()).keys()].flatMap((to) => [to, ...reach(to)]);
  return new Map(
    [...graph].map(([from, targets]) => {
      const farther = new Set([...targets.keys()].flatMap(reach));
      return [from, new Map([...targets].filter(([to]) => !farther.has(to)))];
    }),
  );
}

/** As lines of a flowchart, a line a room, in the order of the alphabet; dotted where only types come through. */
export function drawnLines(graph: RoomGraph): string[] {
  const lines = [...graph].flatMap(([from, targets]) => {
    const by = (kind: "values" | "types") => [...targets].filter(([, is]) => is === kind).map(([to]) => to);
    const line = (arrow: string, to: string[]) =>
      to.length === 0 ? [] : [`${from} ${arrow} ${to.sort().join(" & ")}`];
    return [...line("-->", by("values")), ...line("-.->", by("types"))];
  });
  return lines.sort();
}

/** The lines with arrows in the flowchart that follows this heading. */
export function linesOfPicture(page: string, heading: string): string[] {
  const [, rest = ""] = page.split(`\n${heading}\n`);
  const picture = /```mermaid\n([\s\S]*?)```/.exec(rest)?.[1] ?? "";
  return picture
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /\s-\.?->\s/.test(line));
}
