/** What docs/deploy.md has a PgBouncer set up with, against what a broker asks of its connections. */
import { expect, test } from "vitest";
import { HOT, openLinesPool } from "../../src/store/db.ts";
import { textOf } from "./documents.ts";

test("whatever a broker sets at the start of a connection is ignored there, and set by the pooler", async () => {
  const limits = { statementTimeoutMs: 5_000, lockTimeoutMs: 1_000 };
  const pool = openLinesPool({ url: "postgres://127.0.0.1:1/none", ...limits }, 1, HOT);
  const { application_name: _, ...asked } = pool.options.connection;
  await pool.end();
  const text = textOf("docs/deploy.md");
  expect(/^ignore_startup_parameters = (.*)$/m.exec(text)?.[1]?.split(", ")).toEqual(Object.keys(asked));
  const session = /connect_query='(.*)'$/m.exec(text)?.[1]?.split("; ");
  expect(session).toEqual(Object.entries(asked).map(([name, value]) => `SET ${name} = ${value}`));
});
