/** The house rules as tests. Each rule is also shown a bad sample, so that it cannot pass by being blind. */
import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { CODE_RULES } from "./tidy/code-rules.ts";
import {
  type Committed,
  leftoverNotes,
  lockFaults,
  looseVersions,
  strangeTexts,
  unreached,
} from "./tidy/repo-rules.ts";
import { circles, roomGraph } from "./tidy/room-graph.ts";
import { directionFaults, ROOMS } from "./tidy/rooms.ts";
import { SAMPLES } from "./tidy/samples.ts";
import { parse } from "./tidy/source.ts";

const root = resolve(import.meta.dirname, "..");
const files = committed();
const sources = files
  .filter(({ path }) => /^(src|test|bench|scripts|examples|ui|docs)\/.*\.tsx?$|^[^/]+\.ts$/.test(path))
  .map(({ path, text }) => parse(path, text));
const own = sources.filter(({ path }) => !path.startsWith("src/gen/"));
const packageJson = readFileSync(join(root, "package.json"), "utf8");
const shipped = Object.entries(JSON.parse(packageJson) as Record<string, object>)
  .filter(([key]) => key === "dependencies" || key === "optionalDependencies")
  .flatMap(([, group]) => Object.keys(group));

describe("one file", () => {
  test.each(CODE_RULES)("$name", ({ at, faults }) => {
    expect(own.filter(({ path }) => at(path)).flatMap(faults)).toEqual([]);
  });

  test.each(CODE_RULES)("a bad sample is found by: $name", ({ name, at, faults }) => {
    const samples = SAMPLES.filter(({ rule }) => rule === name);
    expect(samples.some(({ fault }) => fault !== null)).toBe(true);
    for (const { path, text, fault } of samples) {
      const found = at(path) ? faults(parse(path, text)).join("\n") : "not looked at";
      if (fault === null) expect(found, text).toBe("");
      else expect(found, text).toContain(fault);
    }
  });
});

describe("rooms", () => {
  test("imports run one way", () => {
    expect(sources.flatMap((source) => directionFaults(source, shipped))).toEqual([]);
  });

  test("no arrow is there that nobody uses, or for values where only types come through", () => {
    const used = [...roomGraph(sources)].map(([from, targets]) => [from, Object.fromEntries([...targets].sort())]);
    const allowed = Object.entries(ROOMS).map(([from, targets]) => [
      from,
      Object.fromEntries(Object.entries(targets).sort()),
    ]);
    expect(Object.fromEntries(used)).toEqual(Object.fromEntries(allowed));
  });

  test("no two files import each other, straight or round about", () => {
    expect(circles(own.filter(({ path }) => path.startsWith("src/")))).toEqual([]);
    const few = [
      parse("src/a/a.ts", 'import "./b.ts";'),
      parse("src/a/b.ts", 'import type { C } from "../c.ts"; import "./d.ts";'),
      parse("src/c.ts", 'export { a } from "./a/a.ts";'),
      parse("src/a/d.ts", ""),
    ];
    expect(circles(few)).toEqual(["src/a/a.ts → src/a/b.ts → src/c.ts → src/a/a.ts"]);
  });

  test("every arrow ends in a room, and no two rooms import each other", () => {
    for (const [from, targets] of Object.entries(ROOMS)) {
      for (const to of Object.keys(targets)) {
        expect(ROOMS[to], `${from} → ${to}`).toBeDefined();
        expect(reach(to), `${from} → ${to} → …`).not.toContain(from);
      }
    }
  });

  test.each([
    ["src/job/a.ts", 'import { b } from "../store/b.ts";', "job may not import store"],
    ["src/job/a.ts", 'import { readFileSync } from "node:fs";', "job is pure"],
    ["src/store/a.ts", 'import type { B } from "../rpc/b.ts";', "store may not import rpc"],
    ["src/dispatch/a.ts", 'export * from "../gen/b.ts";', "dispatch may not import gen"],
    ["src/loops/a.ts", 'const b = await import("../config.ts");', "loops may not import config"],
    ["src/rest/a.ts", 'import { b, type C } from "../dispatch/moves.ts";', "only types of dispatch"],
    ["src/broker.ts", 'import { config } from "./config.ts";', "only types of config"],
    ["src/rpc/a.ts", 'type B = import("../rest/b.ts").B;', "rpc may not import rest"],
    ["src/rpc/a.ts", 'import { b } from "../../test/b.ts";', "outside src/"],
    ["src/rpc/a.ts", 'import postgres from "postgres";', "postgres belongs to store"],
    ["src/rpc/a.ts", 'import { test } from "vitest";', "no dependency"],
    ["src/attic/a.ts", "", "no room 'attic'"],
  ])("a bad import in %s is found: %s", (path, text, fault) => {
    expect(directionFaults(parse(path, text), shipped).join("\n")).toContain(fault);
  });

  test("imports that follow the arrows pass", () => {
    const text =
      'import { cut } from "../job/limits.ts"; import type { Sql } from "postgres"; import "./db.ts"; import "node:fs";';
    expect(directionFaults(parse("src/dispatch/a.ts", text), shipped)).toEqual([]);
    expect(
      directionFaults(parse("src/rest/a.ts", 'import type { Moves } from "../dispatch/moves.ts";'), shipped),
    ).toEqual([]);
  });
});

describe("the repository", () => {
  test("no committed text names a registry, a path of one machine or a secret", () => {
    expect(files.flatMap(strangeTexts)).toEqual([]);
    const bad = [
      ["https:/", "registry.example.org", "x.tgz"].join("/"),
      `cd ${["", "home", "me", "x"].join("/")}`,
      `cd ${["", "work", "main"].join("/")}`,
      ["-----BEGIN", "PRIVATE KEY-----"].join(" "),
    ];
    for (const text of bad) expect(strangeTexts({ path: "a.md", text: `one\n${text}` })[0]).toMatch(/^a\.md:2: /);
    expect(strangeTexts({ path: "a.md", text: "https://example.org/docs, in ./work/main or under /var/lib" })).toEqual(
      [],
    );
  });

  test("no committed text has a note to do something", () => {
    expect(files.flatMap(leftoverNotes)).toEqual([]);
    expect(leftoverNotes({ path: "a.sql", text: "-- one\n-- TODO two" })).toEqual([expect.stringContaining("a.sql:2")]);
  });

  test("versions in package.json are exact", () => {
    expect(looseVersions(packageJson)).toEqual([]);
    for (const version of ["^1.0.0", "~1.0.0", "1.x", "latest", ">=1.0.0"]) {
      expect(looseVersions(JSON.stringify({ devDependencies: { a: version } }))).toHaveLength(1);
    }
  });

  test("the lock file has hashes and no hosts", () => {
    expect(lockFaults(readFileSync(join(root, "package-lock.json"), "utf8"))).toEqual([]);
    const entry = { resolved: ["https:/", "host", "a.tgz"].join("/"), integrity: "sha512-x" };
    expect(lockFaults(JSON.stringify({ packages: { "node_modules/a": entry } }))).toHaveLength(1);
    expect(lockFaults(JSON.stringify({ packages: { "node_modules/a": {} } }))).toHaveLength(1);
  });

  test("every file under src/ is reached from main.ts or from what the package exports", () => {
    expect(unreached(sources, packageJson)).toEqual([]);
    const few = [
      parse("src/main.ts", 'import "./a.ts"; new URL("./worker.ts", import.meta.url);'),
      parse("src/a.ts", ""),
      parse("src/worker.ts", ""),
      parse("src/client/index.ts", ""),
      parse("src/b.ts", ""),
    ];
    const exports = { "./client": { default: "./dist/client/index.js" } };
    expect(unreached(few, JSON.stringify({ exports }))).toEqual([expect.stringContaining("src/b.ts")]);
  });
});

/** The rooms that `room` imports, and theirs. */
function reach(room: string): string[] {
  const direct = Object.keys(ROOMS[room] ?? {});
  return [...direct, ...direct.flatMap(reach)];
}

/** Every text that is or would be committed; without git (an unpacked archive), every text that lies here. */
function committed(): Committed[] {
  return listed()
    .filter((path) => !/\.(png|jpe?g|webp|gif|ico|binpb|gz|tgz|pdf|woff2?)$/.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

function listed(): string[] {
  try {
    const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    const paths = execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split(
      "\0",
    );
    // A file deleted and not yet committed is still listed.
    const here = new Set(globSync("**", { cwd: root, exclude: ["node_modules/**", ".git/**"] }));
    return paths.filter((path) => here.has(path) || path.startsWith("."));
  } catch {
    return globSync("**/*.*", { cwd: root, exclude: ["node_modules/**", "dist/**", "coverage/**"] });
  }
}
