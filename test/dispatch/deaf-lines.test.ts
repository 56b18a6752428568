/** The lines on which brokers hear one another, while Postgres does not answer. */
import { expect, test } from "vitest";
import { createBell } from "../../src/dispatch/bell.ts";
import { createCourier } from "../../src/dispatch/courier.ts";
import type { Sql } from "../../src/store/db.ts";

const never = new Promise<never>(() => undefined);
const nothing = () => undefined;

const LINES = {
  "LISTEN is never answered": () => never,
  "UNLISTEN is never answered": async () => ({ unlisten: () => never }),
};

test.each(Object.entries(LINES))("a broker can stop though %s", async (_, listen) => {
  const sql = Object.assign(async () => [], { listen }) as unknown as Sql;
  const bell = createBell({ sql, direct: sql, instanceId: "b1", gapMs: 1, onRing: nothing, onError: nothing });
  const told = { onSuperseded: nothing, onLeft: nothing, onTouched: nothing, onConnected: nothing, onError: nothing };
  const courier = createCourier({ sql, direct: sql, brokerId: "b1", ...told });
  await expect(Promise.all([bell.stop(), courier.stop()])).resolves.toHaveLength(2);
});
