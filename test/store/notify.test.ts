import { expect, onTestFinished } from "vitest";
import { openDatabase } from "../../src/store/db.ts";
import { type Channel, listen, notify } from "../../src/store/notify.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";

test("who listens to a channel hears what is sent there, in order, and nothing of the other", async ({ db }) => {
  const heard: Record<Channel, string[]> = { ai_ready: [], ai_session: [] };
  const connected: Channel[] = [];
  const stops = await Promise.all(
    (["ai_ready", "ai_session"] as const).map((channel) =>
      listen(
        db.sql,
        channel,
        (text) => void heard[channel].push(text),
        () => void connected.push(channel),
      ),
    ),
  );
  expect(connected.sort()).toEqual(["ai_ready", "ai_session"]);
  await notify(db.reserved, "ai_session", '{"from": "한"}');
  await notify(db.reserved, "ai_ready", "b1");
  await notify(db.reserved, "ai_session", "last");
  await until("all is heard", () => heard.ai_session.length === 2 && heard.ai_ready.length === 1);
  expect(heard).toEqual({ ai_ready: ["b1"], ai_session: ['{"from": "한"}', "last"] });
  await stops[0]?.();
  await notify(db.reserved, "ai_ready", "unheard");
  await notify(db.reserved, "ai_session", "heard");
  await until("the other goes on", () => heard.ai_session.includes("heard"));
  expect(heard.ai_ready).toEqual(["b1"]);
  await stops[1]?.();
});

test("LISTEN goes past a pooler, to the server itself", async ({ db, url: directUrl }) => {
  // Nobody is at the pooler's address: what is heard has come by the other one.
  const url = "postgres://postgres@127.0.0.1:1/postgres";
  const limits = { statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 };
  const pooled = openDatabase({ url, directUrl, poolSize: 1, reservedSize: 1, ...limits });
  onTestFinished(() => pooled.close());
  const { promise: heard, resolve } = Promise.withResolvers<string>();
  const stop = await listen(pooled.direct, "ai_ready", resolve, () => undefined);
  await notify(db.sql, "ai_ready", "by a server");
  expect(await heard).toBe("by a server");
  await stop();
  await expect(pooled.sql`SELECT 1`).rejects.toMatchObject({ code: "ECONNREFUSED" });
});
