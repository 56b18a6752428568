/** The rules about the repository as a whole: committed texts, package.json, the lock file, files nobody uses. */
import { importsOf, resolveFrom, type Source } from "./source.ts";

export interface Committed {
  path: string;
  text: string;
}

interface Package {
  exports?: unknown;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

/** What must not stand in any committed text: it works on one machine only, or it is a secret. */
const MARKS: readonly { mark: RegExp; what: string }[] = [
  {
    mark: /https?:\/\/(registry|npm|packages?|mirror|proxy|artifactory|nexus|verdaccio)\.[\w.-]+/i,
    what: "a registry's host",
  },
  { mark: /https?:\/\/[\w.-]+\/(artifactory|nexus|repository\/npm|npm-registry)/i, what: "a registry's host" },
  {
    mark: /(^|[\s"'`(=:])\/(work\/(main|shared|\.)|home\/\w|Users\/\w|root\/|tmp\/bash)/m,
    what: "a path of one machine",
  },
  { mark: /\b[A-Z]:\\Users\\/, what: "a path of one machine" },
  { mark: /-----BEGIN [A-Z ]*PRIVATE KEY-----/, what: "a private key" },
  { mark: /\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|npm_[A-Za-z0-9]{36})\b/, what: "a secret" },
];

/** Texts that name a host, a path of one machine or a secret. */
export function strangeTexts({ path, text }: Committed): string[] {
  return MARKS.flatMap(({ mark, what }) => {
    const hit = mark.exec(text);
    if (hit === null) return [];
    const line = text.slice(0, hit.index + 1).split("\n").length;
    return [`${path}:${line}: ${what} (${hit[0].trim().slice(0, 60)}): leave it out of the repository`];
  });
}

/** Notes to do something, in texts that are not TypeScript (there, code-rules reads the comments). */
export function leftoverNotes({ path, text }: Committed): string[] {
  if (/\.ts$|^test\/tidy|package-lock\.json$|^LICENSE$/.test(path)) return [];
  const hit = /\b(TODO|FIXME)\b/.exec(text);
  if (hit === null) return [];
  return [`${path}:${text.slice(0, hit.index).split("\n").length}: ${hit[0]}: do it, or open an issue`];
}

/** Ranges where a version must be exact: a host with an older npm would resolve another one. */
export function looseVersions(packageJson: string): string[] {
  const all = JSON.parse(packageJson) as Package;
  const groups = [all.dependencies, all.devDependencies, all.optionalDependencies, all.peerDependencies];
  return groups.flatMap((group) =>
    Object.entries(group ?? {})
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version))
      .map(([name, version]) => `package.json: ${name} ${version}: write the exact version, with no ^ or ~`),
  );
}

// Tools of other platforms that the registry at hand does not carry. npm ci wants them in the lock file all the same.
const ELSEWHERE = /^node_modules\/@(biomejs\/cli|bufbuild\/buf)-/;

/** Lock file entries that name the host they once came from, or lack the hash of what came. */
export function lockFaults(lock: string): string[] {
  const { packages } = JSON.parse(lock) as { packages: Record<string, { resolved?: string; integrity?: string }> };
  return Object.entries(packages).flatMap(([name, entry]) => {
    if (entry.resolved?.includes("://")) return [`package-lock.json: ${name} has a resolved host: delete that line`];
    const ours = name === "" || !name.includes("node_modules/") || ELSEWHERE.test(name);
    return ours || entry.integrity !== undefined ? [] : [`package-lock.json: ${name} has no integrity hash`];
  });
}

/** Files that nothing imports at run time, and why they are there. */
const HELD_BY_TESTS: readonly string[] = [
  // The one table of legal moves: SQL does the moves, and a test holds every one of them against the table.
  "src/job/lifecycle.ts",
];

/** Files under src/ that no entry reaches. Entries: main.ts and what package.json exports from dist/. */
export function unreached(sources: readonly Source[], packageJson: string): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const { exports } = JSON.parse(packageJson) as Package;
  const exported = Array.from(
    JSON.stringify(exports ?? {}).matchAll(/"\.\/dist\/([^"]+)\.js"/g),
    (hit) => `src/${hit[1]}.ts`,
  );
  const reached = new Set<string>();
  const next = ["src/main.ts", ...exported];
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    const source = byPath.get(path);
    if (source === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const { specifier } of importsOf(source)) {
      if (specifier.startsWith(".")) next.push(resolveFrom(path, specifier));
    }
  }
  return sources
    .filter(({ path }) => path.startsWith("src/") && !reached.has(path) && !HELD_BY_TESTS.includes(path))
    .map(({ path }) => `${path}: nothing that runs imports it: wire it in or delete it`);
}
