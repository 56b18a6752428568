/**
 * Makes dist/ui, the dashboard as the broker serves it: `npm run build:ui`. Where it is up to date nothing is done, so
 * an install, a build and a test may all ask for it.
 */
import { createHash } from "node:crypto";
import { globSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "vite";

const root = resolve(import.meta.dirname, "..");
const folder = join(root, "dist/ui");
/** What the dashboard is made of. */
const SOURCES = ["ui/**/*.*", "src/gen/**/*.ts", "src/client/*.ts", "scripts/build-ui.ts", "package-lock.json"];
/** In the folder beside the files; it is not served. */
const STAMP = "sources.sha256";
/** Of all files together, gzipped: what a first visit costs. */
const MAX_BYTES = 100_000;
/** The first browsers with all that the styles use; older ones are two years old. */
const BROWSERS = ["chrome123", "edge123", "firefox121", "safari17.5"];

/** Builds where anything has changed; tells whether it did, and the size of what is there. */
export async function buildUi(): Promise<{ built: boolean; bytes: number }> {
  const stamp = await digest();
  const last = await readFile(join(folder, STAMP), "utf8").catch(() => "");
  if (last === stamp) return { built: false, bytes: await sizeOf(folder) };
  // Beside it and then in its place: a broker or a test that reads at this moment gets the old one whole, or the new.
  const next = `${folder}-${process.pid}`;
  await bundle(next);
  const bytes = await sizeOf(next);
  if (bytes > MAX_BYTES) {
    await rm(next, { recursive: true });
    throw new Error(`the dashboard has ${bytes} bytes gzipped, at most ${MAX_BYTES}`);
  }
  await writeFile(join(next, STAMP), stamp);
  await putInPlace(next);
  return { built: true, bytes };
}

/** Another build may be doing the same at this moment; the last one stays. */
async function putInPlace(next: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    await rm(folder, { recursive: true, force: true });
    try {
      return await rename(next, folder);
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

async function bundle(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true });
  // Vite goes by it: under a test runner, which says "test", libraries would bring what helps their developers, 4 kB of it.
  process.env["NODE_ENV"] = "production";
  await build({
    configFile: false,
    root: join(root, "ui"),
    // Relative, so that it works behind whatever prefix a proxy gives it.
    base: "./",
    logLevel: "error",
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    plugins: [leaveOutJson],
    build: { outDir, emptyOutDir: true, target: BROWSERS, modulePreload: false, assetsInlineLimit: 0 },
  });
}

/** Calls go in binary, so protobuf's own reader and writer of JSON are never used: a tenth of the whole. */
const leaveOutJson: Plugin = {
  name: "leave-out-json",
  enforce: "pre",
  load(id) {
    const names = Object.entries(JSON_NAMES).find(([file]) => id.endsWith(`/@bufbuild/protobuf/dist/esm/${file}`))?.[1];
    const refuse = '() => { throw new Error("protobuf JSON is left out of the dashboard"); }';
    return names?.map((name) => `export const ${name} = ${refuse};`).join("\n");
  },
};

const JSON_NAMES: Readonly<Record<string, readonly string[]>> = {
  "from-json.js": ["fromJson", "fromJsonString", "mergeFromJson", "mergeFromJsonString", "enumFromJson", "isEnumJson"],
  "to-json.js": ["toJson", "toJsonString", "enumToJson"],
};

async function digest(): Promise<string> {
  const hash = createHash("sha256");
  for (const path of globSync(SOURCES, { cwd: root }).sort()) {
    hash.update(`${path}\n`).update(await readFile(join(root, path)));
  }
  return hash.digest("hex");
}

async function sizeOf(built: string): Promise<number> {
  const entries = await readdir(built, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== STAMP);
  const texts = await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name))));
  return texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
}

if (import.meta.main) {
  const { built, bytes } = await buildUi();
  console.log(`dist/ui is ${built ? "built" : "up to date"}: ${(bytes / 1000).toFixed(1)} kB gzipped`);
}
