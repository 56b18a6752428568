/** Trouble in and around the database, and others who write there. */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { django } from "../../support/django.ts";
import type { Cell } from "../cell.ts";
import { adminPool } from "../ground.ts";
import { readRecords } from "../history/record.ts";
import { nowUs, pass } from "../pace.ts";
import { LEASE_MS, type World } from "../world.ts";

/** Twice what the others have, so that a heartbeat has the time that a busy machine takes. */
const BLOCKED_LEASE_MS = 2 * LEASE_MS;

const SHIFT = pathToFileURL(resolve(import.meta.dirname, "../clock-shift.ts")).href;
const clock = (hours: number) => ["--import", `${SHIFT}?hours=${hours}`];

/** Where the claims' pool was blocked, in µs. */
const blocked = new WeakMap<World, { from: number; to: number }[]>();

export const DATABASE: readonly Cell[] = [
  {
    name: "no-notify",
    about: "every NOTIFY is dropped",
    rounds: 2,
    async deal(world, dice) {
      const { sql } = world;
      world.fault("pg_notify does nothing");
      await sql.unsafe(`CREATE OR REPLACE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT'`);
      await sql.unsafe(`ALTER DATABASE ${world.options.name} SET search_path = public, pg_catalog`);
      for (const link of world.linksOf(/>db$/)) link.cut();
      await pass(dice.between(1_500, 2_500));
      await sql.unsafe(`ALTER DATABASE ${world.options.name} RESET search_path`);
      await sql.unsafe("DROP FUNCTION public.pg_notify(text, text)");
      for (const link of world.linksOf(/>db$/)) link.cut();
    },
  },
  {
    name: "clock",
    about: "one broker's clock is an hour ahead, the other's an hour behind",
    world: { nodeOptions: [clock(1), clock(-1)], load: { failing: 0.3 } },
    async deal(world, dice) {
      const broker = dice.pick(world.brokers);
      world.fault(`clocks that are 2 h apart, and kill -9 of broker ${broker.name}`);
      await broker.end("SIGKILL");
      await pass(dice.between(300, 800));
      await broker.start();
    },
  },
  {
    name: "blocked-claims",
    about: "claims take every connection of their pool and wait for a lock; heartbeats must pass",
    world: {
      settings: { DATABASE_POOL: "2", DATABASE_RESERVED_POOL: "2", LEASE_TTL_MS: String(BLOCKED_LEASE_MS) },
      workers: { stream: 1, plain: 2, legacy: 0, seats: 20 },
      load: { perSecond: 15, ms: 3_000 },
    },
    async deal(world, dice) {
      // What claims look at and reports do not: any report may send its job back to ai_ready, and waits for that table.
      world.fault("ai_type_pause is locked");
      const windows = blocked.get(world) ?? [];
      blocked.set(world, windows);
      await world.sql.begin(async (tx) => {
        await tx`LOCK TABLE ai_type_pause IN ACCESS EXCLUSIVE MODE`;
        const from = nowUs();
        await pass(BLOCKED_LEASE_MS + dice.between(0, 500));
        windows.push({ from, to: nowUs() });
      });
    },
    look: heartbeatsPassed,
  },
  {
    name: "django",
    about: "the Django app dispatches, claims and finishes jobs by its own SQL, beside the brokers",
    async deal(world, dice, { round }) {
      const sql = adminPool(world.options.cluster.urlOf(world.options.name));
      try {
        for (let at = 1; at <= 20; at++) {
          world.fault(`Django writes, ${round}.${at}`);
          await djangoTurn(world, sql, `django-${round}-${at}`, dice.chance(0.7));
        }
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
    // Django knows no token and no cancel, counts no deliveries, goes by its own process' clock, puts a result before it ends
    // the job, and writes no events but those that the triggers write for it.
    check: {
      skip: [
        "legal-transitions",
        "deliveries-grow",
        "heartbeats-extend-their-own",
        "cancelled-is-not-worked",
        "claimed-when-due",
        "result-with-the-end",
        "event-with-transition",
        "events-without-gap",
      ],
    },
  },
];

async function djangoTurn(world: World, sql: World["sql"], job: string, serves: boolean): Promise<void> {
  const made = world.recorder.invoke("dispatch", { items: [{ job }] });
  await django.insert(sql, job, "work");
  // Whoever has claimed it by now loses it: docs/cut-over.md.
  const publish = world.recorder.invoke("publish", { items: [{ job }] });
  await django.publish(sql, job);
  publish.ok({ items: [{ job }] });
  made.ok({ items: [{ job, status: "CREATED" }] });
  if (!serves) return;
  const worker = "django1";
  const claim = world.recorder.invoke("legacyClaim", { worker });
  const got = await django.claim(sql, worker, LEASE_MS);
  claim.ok({ worker, items: got === null ? [] : [{ job: got }] });
  if (got === null) return;
  const items = [{ job: got, status: "DONE", result: '{"text": "x"}' }];
  const report = world.recorder.invoke("legacyReport", { worker, items });
  await django.done(sql, got);
  report.ok({ worker, items: [{ job: got, status: "done" }] });
}

/** Heartbeats that were answered while no claim could be. */
async function heartbeatsPassed(world: World): Promise<string[]> {
  const { folder } = world.options;
  const files = readdirSync(folder).filter((name) => /^(plain|stream).*\.jsonl$/.test(name));
  const beats = files.flatMap((name) => readRecords(join(folder, name))).filter(({ op }) => op === "heartbeat");
  return (blocked.get(world) ?? []).flatMap(({ from, to }, at) => {
    const inside = beats.filter((beat) => beat.at > from && beat.at < to);
    const answered = inside.filter(({ phase }) => phase === "ok").length;
    const failed = inside.filter(({ phase }) => phase === "unknown" || phase === "fail").length;
    return answered > 0 && failed === 0
      ? []
      : [
          `while claims were blocked for the ${at + 1}. time, ${answered} heartbeats were answered and ${failed} failed`,
        ];
  });
}
