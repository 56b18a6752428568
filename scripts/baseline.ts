/** Renews the image that `npm run check` holds the contract against: `npm run baseline`, once before each release. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeBaseline } from "./gate/contract.ts";

const root = resolve(import.meta.dirname, "..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

if (tagExists(`v${version}`)) {
  // A release's image never changes: renewing it would let a break through unseen.
  console.error(`v${version} is released: raise the version in package.json first, then run this again`);
  process.exitCode = 1;
} else {
  mkdirSync(join(root, "proto", "baseline"), { recursive: true });
  const { path, done } = writeBaseline(root, version);
  const outcome = await done;
  if (outcome.ok) console.log(`wrote ${path}: commit it with the release`);
  else {
    console.error(outcome.output);
    process.exitCode = 1;
  }
}

function tagExists(tag: string): boolean {
  return execFileSync("git", ["tag", "--list", tag], { cwd: root, encoding: "utf8" }).trim() !== "";
}
