/** payload and settings: what longer payloads, and settings other than the default ones, make of a drain. */
import { openPool } from "../../src/store/db.ts";
import { clear, fill } from "../backlog.ts";
import { PAYLOAD_BYTES } from "../clients/client.ts";
import { dueJobs } from "../harness/due-jobs.ts";
import type { Measure } from "../harness/figures.ts";
import { brokerDatabase } from "../systems/ai-job-broker.ts";
import { drainedMeasures, drainSome, settle, WARM_UP } from "./drain-some.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";

interface Variant {
  setting: string;
  payloadBytes: number;
  settings?: Record<string, string>;
  isTls?: boolean;
}

const sized = (payloadBytes: number): Variant => ({
  setting: `payloads of ${payloadBytes.toLocaleString("en-US")} bytes`,
  payloadBytes,
});

/** From 2 kB on Postgres keeps a payload apart from its row. */
const SIZES = [PAYLOAD_BYTES, 2_500, 25_000].map(sized);

const set = (name: string, value: string): Variant => ({
  setting: `${name}=${value}`,
  payloadBytes: PAYLOAD_BYTES,
  settings: { [name]: value },
});

const SETTINGS: Variant[] = [
  { setting: "all by default", payloadBytes: PAYLOAD_BYTES },
  set("LOG_LEVEL", "warn"),
  set("EVENT_KINDS", "done"),
  { setting: "TLS between broker and worker", payloadBytes: PAYLOAD_BYTES, isTls: true },
];

export const payload: BenchMeasure = {
  name: "payload",
  about: "jobs a second of a drain, by the length of their payloads",
  run: (context) => drainAll(context, "payload", SIZES, { quick: 2_000, whole: 8_000 }),
};

export const settings: BenchMeasure = {
  name: "settings",
  about: "jobs a second of a drain, with one setting of the broker other than by default",
  run: (context) => drainAll(context, "settings", SETTINGS, { quick: 3_000, whole: 20_000 }),
};

async function drainAll(
  context: BenchContext,
  name: string,
  variants: Variant[],
  size: Record<"quick" | "whole", number>,
): Promise<Measure[]> {
  const { ground, quick } = context;
  const jobs = quick ? size.quick : size.whole;
  const sql = openPool({ url: await brokerDatabase(ground), statementTimeoutMs: 600_000, lockTimeoutMs: 5_000 }, 1);
  const drain = async ({ payloadBytes, ...more }: Variant) => {
    await clear(sql);
    await fill(sql, dueJobs(WARM_UP + jobs, payloadBytes));
    await settle(sql);
    return await drainSome(ground, sql, jobs, more);
  };
  try {
    const results = await inTurn(context, name, variants, ({ setting }) => setting, drain);
    await clear(sql);
    return variants.flatMap(({ setting }, at) => drainedMeasures(name, setting, results[at] ?? []));
  } finally {
    await sql.end();
  }
}
