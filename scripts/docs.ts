/**
 * The documentation as a site: its reference pages are made of the contract and the SDK, then VitePress does the rest.
 *   npm run docs             serve it, with changes as they are saved
 *   npm run docs:build       write it to docs/.vitepress/dist; fails on a dead link
 *
 * The reference is made each time and never committed: the comments in proto/ and src/ are the text, and a copy beside
 * them would only grow old. On GitHub the contract itself is the reference.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { deadAnchors } from "./docs/anchors.ts";
import { outsideRequests } from "./docs/outside.ts";
import { protoPages } from "./docs/proto-pages.ts";
import { type Entry, sdkPage } from "./docs/sdk-page.ts";
import { command } from "./gate/run.ts";

const ROOT = resolve(import.meta.dirname, "..");
const REFERENCE = join(ROOT, "docs/reference");
const SITE = join(ROOT, "docs/.vitepress/dist");

const ENTRIES: readonly Entry[] = [
  {
    name: "ai-job-broker/client",
    path: "src/client/index.ts",
    about:
      "For workers and producers. The messages of the contract are exported beside it, for whoever calls by themselves.",
  },
  { name: "ai-job-broker/testing", path: "src/testing/index.ts", about: "A real broker, or one handler, in a test." },
  { name: "ai-job-broker/server", path: "src/server/index.ts", about: "A broker within a program of yours." },
];

async function descriptors(): Promise<FileDescriptorProto[]> {
  const folder = mkdtempSync(join(tmpdir(), "aibroker-docs-"));
  try {
    const image = join(folder, "image.binpb");
    const { ok, output } = await command("buf", ["build", "--path", "proto/aibroker", "--output", image], {
      cwd: ROOT,
    });
    if (!ok) throw new Error(output);
    return fromBinary(FileDescriptorSetSchema, readFileSync(image)).file;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function writeReference(): Promise<void> {
  const pages = [...protoPages(await descriptors(), "aibroker.v1"), { name: "sdk.md", text: sdkPage(ROOT, ENTRIES) }];
  // A page of a file that is gone must go, too.
  rmSync(REFERENCE, { recursive: true, force: true });
  mkdirSync(REFERENCE, { recursive: true });
  for (const { name, text } of pages) writeFileSync(join(REFERENCE, name), text);
}

async function main(how: string): Promise<number> {
  await writeReference();
  const { ok } = await command("vitepress", [how, "docs"], { cwd: ROOT, live: true });
  if (!ok) return 1;
  if (how !== "build") return 0;
  const faults = [
    ...deadAnchors(SITE).map((link) => `no such heading: ${link}`),
    ...outsideRequests(SITE).map((request) => `asks others for something: ${request}`),
  ];
  for (const fault of faults) console.error(fault);
  return faults.length === 0 ? 0 : 1;
}

const [how = "dev", ...rest] = process.argv.slice(2);
if (!["dev", "build"].includes(how) || rest.length > 0) {
  console.error("usage: node scripts/docs.ts [dev|build]");
  process.exitCode = 2;
} else process.exitCode = await main(how);
