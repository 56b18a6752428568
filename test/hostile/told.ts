/** What a test tells the report of its attack, beside its name and whether it passed. */
import type { Figures } from "./good-client.ts";

/** In MB. */
export interface Memory {
  before: number;
  /** The most while the attack stood. */
  peak: number;
  /** Once it was over and all garbage collected, with what the allocator keeps although it is free. */
  kept: number;
  /** Without that. */
  after: number;
}

/** Times in ms, memory in MB. */
export interface Told {
  /** Of the attack, in words. */
  size: string;
  /** How often it was made. */
  rounds: number;
  tookMs: number;
  before: Figures;
  during: Figures;
  /** What the good client's 99th percentile was held to. */
  p99BoundMs: number;
  /** Why that is not twice what it was. */
  why?: string;
  rss: Memory;
  postgres: string;
}

declare module "vitest" {
  interface TaskMeta {
    told?: Told;
  }
}

/** In one line, to stand beside the test. */
export function toldText({ size, rounds, tookMs, before, during, rss }: Told): string {
  const times = rounds === 1 ? "" : `, ${rounds} times`;
  const p99 = `p99 ${before.p99.toFixed(1)} → ${during.p99.toFixed(1)} ms (worst ${during.max.toFixed(0)})`;
  const memory = `RSS ${[rss.before, rss.peak, rss.kept, rss.after].map((mb) => mb.toFixed(0)).join(" → ")} MB`;
  return `${size}${times} in ${(tookMs / 1_000).toFixed(1)} s; ${p99} over ${during.calls} calls; ${memory}`;
}
