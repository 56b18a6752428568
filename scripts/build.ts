/** Makes dist/ afresh: what npm packs beside bin/, drizzle/ and proto/. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { buildUi } from "./build-ui.ts";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
// A file that was renamed must not live on in the package; dist/ui is made anew as a whole where it is not up to date.
for (const name of existsSync(dist) ? readdirSync(dist) : []) {
  if (name !== "ui") rmSync(join(dist, name), { recursive: true, force: true });
}
await buildUi();
const tsc = createRequire(import.meta.url)
  .resolve("typescript/package.json")
  .replace("package.json", "bin/tsc");
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
process.exitCode = status ?? 1;
