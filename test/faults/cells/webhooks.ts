/** Who is told of events, and does not answer as it should. */
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AdminService } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { type EventKind, TERMINAL_KINDS } from "../../../src/job/events.ts";
import { newSecret } from "../../../src/webhooks/sign.ts";
import { withToken } from "../../support/rpc-clients.ts";
import { API_TOKEN } from "../broker-process.ts";
import type { Cell } from "../cell.ts";
import { pass } from "../pace.ts";
import { Player } from "../player.ts";
import type { Manner, ReceiverSettings } from "../players/receiver.ts";
import type { Link } from "../proxy.ts";
import type { World } from "../world.ts";

const TIMEOUT_MS = 400;
/** Two kinds of each job's events at least, so that they have an order. */
const KINDS: EventKind[] = ["started", ...TERMINAL_KINDS];
/** So long after the last job: ten thousand deliveries may be left, and are none's fault while they go out. */
const STUCK_MS = 30_000;

const FAILING: Manner[] = ["fails", "is-busy", "hangs", "resets", "is-late"];
const FAULTS = [...FAILING, "cannot-be-reached", "is-killed"] as const;

/** The endpoint, and the brokers' line to it. */
const receivers = new WeakMap<World, { player: Player; link: Link }>();

export const WEBHOOKS: readonly Cell[] = [
  {
    name: "failing-receiver",
    about: "a webhook's endpoint fails in turn in every way, and brokers are killed meanwhile",
    world: {
      settings: {
        WEBHOOK_ALLOW_PRIVATE: "true",
        WEBHOOK_ALLOW_HTTP: "true",
        WEBHOOK_TIMEOUT_MS: String(TIMEOUT_MS),
        WEBHOOK_POLL_MS: "100",
      },
      load: { perSecond: 40 },
      begin: addReceiver,
    },
    async deal(world, dice) {
      for (const fault of dice.shuffled(FAULTS).slice(0, 4)) {
        await misbehave(world, fault, dice.between(150, TIMEOUT_MS + 200));
        await letWaitsPass(world);
        await pass(dice.between(50, 300));
      }
      if (!dice.chance(0.6)) return;
      const broker = dice.pick(world.brokers);
      world.fault(`kill -9 of broker ${broker.name}`);
      await broker.end("SIGKILL");
      await broker.start();
    },
    look: allTold,
    // In order also of these: an event is passed over only when it was given up, and none is (letWaitsPass).
    check: {
      subscribers: [
        { name: "producer", kinds: TERMINAL_KINDS },
        { name: "receiver", kinds: KINDS },
      ],
    },
  },
];

/** Before the first job: what happens before a webhook is there is not told. */
async function addReceiver(world: World): Promise<void> {
  const settings: ReceiverSettings = { secret: newSecret(), lateMs: 2 * TIMEOUT_MS };
  const player = new Player({ name: "receiver", module: "receiver", settings, folder: world.options.folder });
  world.workers.push(player);
  const link = await world.link("brokers", "receiver", { port: await player.ask<number>("port") });
  receivers.set(world, { player, link });
  const [baseUrl = ""] = await world.linesOf("operator");
  const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", interceptors: [withToken(API_TOKEN)] });
  const { createWebhook } = createClient(AdminService, transport);
  await createWebhook({ url: `${link.url}/hook`, kinds: KINDS, secret: settings.secret });
}

function receiverOf(world: World): { player: Player; link: Link } {
  const receiver = receivers.get(world);
  if (receiver === undefined) throw new Error("there is no receiver yet");
  return receiver;
}

async function misbehave(world: World, fault: (typeof FAULTS)[number], ms: number): Promise<void> {
  const { player, link } = receiverOf(world);
  world.fault(`the receiver ${fault.replaceAll("-", " ")}`);
  if (fault === "is-killed") {
    await player.kill();
    await pass(ms);
    await player.restart();
    link.to = { port: await player.ask<number>("port") };
  } else if (fault === "cannot-be-reached") {
    link.set("refuse");
    await pass(ms);
    link.heal();
  } else {
    await player.ask(fault);
    await pass(ms);
    await player.ask("good");
  }
}

/** Tries of an event that may fail while the faults last, of the ten that it has. */
const WHILE_THEY_LAST = 6;
const ALL_TRIES = 10;

/** As if the waits after failed tries were over, up to so many tries. */
async function letWaitsPass({ sql }: World, tries = WHILE_THEY_LAST): Promise<void> {
  await sql`
    UPDATE ai_delivery SET next_at = now() WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM ai_delivery WHERE next_at > now() AND tries < ${tries} FOR UPDATE SKIP LOCKED))`;
  await sql`UPDATE ai_webhook SET open_until = NULL WHERE open_until > now()`;
}

/** As if the killed brokers had been missed for long enough; one that lives says so every 5 s. */
async function letMissing({ sql }: World): Promise<void> {
  await sql`UPDATE ai_broker SET seen_at = now() - interval '1 minute' WHERE seen_at < now() - interval '7 seconds'`;
}

/** Whether all deliveries are over, however long they take as long as they get fewer. */
async function areOver(world: World): Promise<boolean> {
  let least = Number.POSITIVE_INFINITY;
  for (let fewerAt = performance.now(); performance.now() - fewerAt < STUCK_MS; await pass(300)) {
    await letWaitsPass(world, ALL_TRIES);
    await letMissing(world);
    const [row] = await world.sql`
      SELECT (SELECT count(*) FROM ai_delivery WHERE dead_at IS NULL)
        + (SELECT count(*) FROM ai_webhook w JOIN ai_event e ON (e.xid, e.id) > (w.xid, w.event_id)) AS left`;
    const left = Number(row?.["left"]);
    if (left === 0) return true;
    if (left < least) fewerAt = performance.now();
    least = Math.min(least, left);
  }
  return false;
}

async function allTold(world: World): Promise<string[]> {
  const { sql } = world;
  const since = performance.now();
  const over = await areOver(world);
  world.remarks.push(`all deliveries over after ${Math.round(performance.now() - since)} ms`);
  const [row] = await sql`
    SELECT count(*) FILTER (WHERE dead_at IS NULL)::int AS waiting, count(dead_at)::int AS dead,
      (SELECT disabled_reason FROM ai_webhook) AS disabled FROM ai_delivery`;
  const strangers = await receiverOf(world).player.ask<number>("strangers");
  return [
    ...(over ? [] : [`${row?.["waiting"]} deliveries were left, and for ${STUCK_MS} ms none was over`]),
    ...(row?.["dead"] ? [`${row["dead"]} events were given up`] : []),
    ...(row?.["disabled"] ? [`the webhook was disabled: ${row["disabled"]}`] : []),
    ...(strangers > 0 ? [`the receiver refused ${strangers} requests, by their signature or their body`] : []),
  ];
}
