/** The files of ops/ as a program reads them. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const yaml = createRequire(import.meta.url)("js-yaml") as { loadAll(text: string): unknown[] };

export const ROOT = resolve(import.meta.dirname, "../..");

export const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** All documents of a YAML file, with its anchors resolved. */
export const documentsOf = (path: string): Record<string, unknown>[] =>
  yaml.loadAll(textOf(path)).filter((one) => one !== null) as Record<string, unknown>[];

/** The Kubernetes objects, by kind. */
export function manifests(): Map<string, Record<string, unknown>> {
  const folder = "ops/kubernetes";
  const files = readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(".yaml"));
  return new Map(files.flatMap((name) => documentsOf(join(folder, name))).map((one) => [String(one["kind"]), one]));
}
