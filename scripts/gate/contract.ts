/** The steps about the wire contract: style, compatibility with the last release, generated code. All work offline. */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { command, type Outcome } from "./run.ts";

const BASELINES = "proto/baseline";

/** STANDARD rules on our own files (buf.yaml leaves the vendored ones out). */
export function lint(root: string): Promise<Outcome> {
  return command("buf", ["lint", "--error-format", "text"], { cwd: root });
}

/** Whether a client of the last release still works: FILE rules against that release's image. */
export async function breaking(root: string): Promise<Outcome> {
  const image = newestBaseline(root);
  if (image === undefined) {
    return { ok: false, output: `no image of a release in ${BASELINES}/: run npm run baseline and commit its file` };
  }
  const outcome = await command("buf", ["breaking", "--against", image, "--error-format", "text"], { cwd: root });
  if (outcome.ok) return outcome;
  const advice = `a client of ${basename(image, ".binpb")} would break: keep the old field or method (deprecate it) and add a new one`;
  return { ok: false, output: `${outcome.output}\n${advice}` };
}

/** Whether src/gen is what buf generate makes of proto/ now. */
export async function generated(root: string): Promise<Outcome> {
  const scratch = mkdtempSync(join(tmpdir(), "aibroker-gen-"));
  try {
    const outcome = await command("buf", ["generate", "--output", scratch], { cwd: root });
    if (!outcome.ok) return outcome;
    const faults = await differences(join(scratch, "src", "gen"), join(root, "src", "gen"));
    if (faults.length === 0) return { ok: true, output: "" };
    return { ok: false, output: [...faults, "run npm run generate and commit src/gen"].join("\n") };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Writes the image of the contract as it stands, without comments, so that it changes only when the contract does. */
export function writeBaseline(root: string, version: string): { path: string; done: Promise<Outcome> } {
  const path = join(BASELINES, `v${version}.binpb`);
  const done = command("buf", ["build", "--exclude-source-info", "--path", "proto/aibroker", "--output", path], {
    cwd: root,
  });
  return { path, done };
}

/** The image of the highest version, as a path from the root; undefined when there is none. */
export function newestBaseline(root: string): string | undefined {
  const images = globSync(`${BASELINES}/v*.binpb`, { cwd: root });
  return images.sort((a, b) => basename(a).localeCompare(basename(b), "en", { numeric: true })).at(-1);
}

async function differences(fresh: string, committed: string): Promise<string[]> {
  const [wanted, found] = await Promise.all([filesBelow(fresh), filesBelow(committed)]);
  const faults: string[] = [];
  for (const path of wanted) {
    if (!found.includes(path)) faults.push(`src/gen/${path} is missing`);
    else if (!readFileSync(join(fresh, path)).equals(readFileSync(join(committed, path)))) {
      faults.push(`src/gen/${path} is out of date`);
    }
  }
  for (const path of found) {
    if (!wanted.includes(path)) faults.push(`src/gen/${path} comes from no proto file`);
  }
  return faults;
}

async function filesBelow(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort();
}
