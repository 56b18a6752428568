/** A copy of the project in which a mutant may stand: what the fault programme needs of it, and the packages by a link. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Mutant, mutated } from "./mutant.ts";

export const PROJECT = resolve(import.meta.dirname, "../../..");
const PARTS = [
  "package.json",
  "tsconfig.json",
  "bin",
  "drizzle",
  "src",
  "test/faults",
  "test/support",
  "bench/harness",
];

export class Scratch {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    for (const part of PARTS) {
      mkdirSync(dirname(join(folder, part)), { recursive: true });
      cpSync(join(PROJECT, part), join(folder, part), { recursive: true });
    }
    symlinkSync(join(PROJECT, "node_modules"), join(folder, "node_modules"));
  }

  /** Does something while the copy has the bug. */
  async with<T>(mutant: Mutant, run: () => Promise<T>): Promise<T> {
    const file = join(this.folder, mutant.file);
    const text = readFileSync(file, "utf8");
    writeFileSync(file, mutated(text, mutant));
    try {
      return await run();
    } finally {
      writeFileSync(file, text);
    }
  }
}
