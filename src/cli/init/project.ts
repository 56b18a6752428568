/** The files of a new project: this package's own templates, with the names that were chosen. */
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageVersion } from "../../version.ts";

/** Where each part of a project comes from, and where it goes. */
const PARTS = {
  typescript: [["templates/worker-typescript", ""]],
  python: [
    ["templates/worker-python", ""],
    ["examples/worker-python/work_stream.py", "work_stream.py"],
    ["examples/worker-python/requirements.txt", "requirements.txt"],
    ["proto/aibroker/v1/job.proto", "proto/aibroker/v1/job.proto"],
    ["proto/aibroker/v1/worker_service.proto", "proto/aibroker/v1/worker_service.proto"],
  ],
} as const;

export type Language = keyof typeof PARTS;

export const LANGUAGES = Object.keys(PARTS) as Language[];

export interface Names {
  /** The npm package's. */
  project: string;
  /** The type of jobs. */
  type: string;
}

/** Whether this is a checkout, whose version no registry need have. */
export const IS_CHECKOUT = extname(import.meta.url) === ".ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The project as a map from path to text. */
export async function projectFiles(language: Language, names: Names): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const [from, to] of PARTS[language]) {
    for (const path of await filesUnder(from)) {
      const text = await readFile(join(ROOT, from, path), "utf8");
      const isTemplate = from.startsWith("templates/");
      files.set(join(to, visible(path)), isTemplate ? named(path, text, names) : text);
    }
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Writes them. A file that is there by now is left as it is, and the promise rejects. */
export async function writeProject(folder: string, files: ReadonlyMap<string, string>): Promise<void> {
  for (const [path, text] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text, { flag: "wx" });
  }
}

/** The paths of the files of a folder; of a file the empty one. */
async function filesUnder(from: string): Promise<string[]> {
  if ((await stat(join(ROOT, from))).isFile()) return [""];
  const found = await readdir(join(ROOT, from), { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(ROOT, from).length + 1));
}

/** npm never packs a .gitignore, so the template's has no dot. */
function visible(path: string): string {
  return path === "gitignore" ? ".gitignore" : path;
}

function named(path: string, text: string, names: Names): string {
  return path === "package.json" ? packageJson(text, names.project) : withType(text, names.type);
}

function packageJson(text: string, name: string): string {
  const all = JSON.parse(text) as { dependencies: object };
  // Of a checkout what `npm pack` makes of it, in the project's folder.
  const version = IS_CHECKOUT ? `file:ai-job-broker-${packageVersion()}.tgz` : packageVersion();
  const made = { ...all, name, dependencies: { ...all.dependencies, "ai-job-broker": version } };
  return `${JSON.stringify(made, null, 2)}\n`;
}

/** The templates say `ocr`; as a key the type has quotes where it is no identifier. */
function withType(text: string, type: string): string {
  const key = /^[A-Za-z_]\w*$/.test(type) ? type : JSON.stringify(type);
  return text.replaceAll(/\bocr\b(?<isKey>: \{)?/g, (_, isKey?: string) => (isKey === undefined ? type : key + isKey));
}
