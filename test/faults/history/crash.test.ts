/** The history of a database whose Postgres is killed: all that was committed, and nothing else. */
import { expect } from "vitest";
import { openDatabase } from "../../../src/store/db.ts";
import { migrate } from "../../../src/store/migrate.ts";
import { ask, postmasterOf, test } from "../../support/embedded.ts";
import { until } from "../../support/until.ts";
import { checkHistory } from "./check.ts";
import { installRowHistory, readFinal, readRowHistory } from "./row-history.ts";
import { SETTINGS, StoreRun } from "./store-run.ts";

test("a kill of Postgres loses no version that a caller was told of", { timeout: 60_000 }, async ({
  start,
  dataDir,
  connect,
}) => {
  const { url } = await start({ durable: true });
  await migrate(url);
  const db = openDatabase({ url, poolSize: 2, reservedSize: 1, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 });
  try {
    await installRowHistory(db.sql);
    const run = new StoreRun(db);
    await run.dispatch("a");
    const [lease] = await run.claim("w1");
    const killed = await postmasterOf(dataDir);
    process.kill(killed, "SIGKILL");
    await until("another Postgres is up", async () => (await postmasterOf(dataDir).catch(() => killed)) !== killed);
    await ask(connect(url), "SELECT 1 AS one");
    await until("the pools have noticed", () =>
      db.reserved`SELECT 1`.then(
        () => true,
        () => false,
      ),
    );
    await run.report(lease!, "DONE");
    const rows = { versions: await readRowHistory(db.reserved), final: await readFinal(db.reserved) };
    expect(rows.versions.filter(({ table }) => table === "job")).toHaveLength(3);
    expect(checkHistory(run.records, rows, SETTINGS).violations).toEqual([]);
  } finally {
    await db.close();
  }
});
