import { once } from "node:events";
import { createServer as createWebServer } from "node:http";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect } from "vitest";
import { checkNode } from "../../src/cli/doctor/process-checks.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import type { Finding } from "../../src/health/finding.ts";
import { freshDatabase } from "../support/db.ts";
import { until } from "../support/until.ts";
import { runCli, runHere } from "./run-cli.ts";
import { listenSomewhere, test } from "./with-broker.ts";

/** Its findings, less one: the server of the tests runs without fsync. Looks at the exit code too. */
async function doctor(env: Record<string, string>): Promise<Finding[]> {
  const { code, stdout } = await runHere(["doctor", "--json"], { PORT: "0", ...env });
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  expect(code).toBe(findings.some(({ level }) => level === "FAIL") ? 1 : 0);
  return findings.filter(({ check }) => check !== "durability");
}

const of = (findings: Finding[], check: string) => findings.filter((finding) => finding.check === check);

describe("doctor", () => {
  test("a sound broker has only ok lines", async ({ db: _, url }) => {
    const env = { INTERNAL_WORKER_TOKEN: "0123456789abcdef", INTERNAL_API_TOKEN: "fedcba9876543210" };
    const findings = await doctor({ ...env, DATABASE_URL: url });
    expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
    const checks = ["node", "settings", "tokens", "address", "port", "database", "clock", "schema", "indexes", "drift"];
    for (const check of checks) expect(of(findings, check), check).not.toEqual([]);
  });

  test("people get one line for each, and what to do under it", async ({ url }) => {
    const { stdout } = await runHere(["doctor"], { DATABASE_URL: url, INTERNAL_WORKER_TOKEN: "short" });
    expect(stdout).toMatch(/^ok {4}schema {7}\S/m);
    expect(stdout).toMatch(/^warn {2}tokens {7}INTERNAL_WORKER_TOKEN: 1 of 1 can be guessed\n {19}→ use at least 16/m);
  });

  test("a database that may lose what it has acknowledged is a FAIL", async ({ db, url }) => {
    const name = db.sql(new URL(url).pathname.slice(1));
    await db.sql`ALTER DATABASE ${name} SET synchronous_commit = off`;
    const { code, stdout } = await runHere(["doctor"], { DATABASE_URL: url });
    await db.sql`ALTER DATABASE ${name} RESET synchronous_commit`;
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^FAIL {2}durability {3}fsync \w+, synchronous_commit off: a crash loses jobs\n {19}→ set both/m,
    );
  });

  test("wrong settings are FAIL lines, one each, without secrets", async () => {
    const findings = await doctor({ PORT: "x", LOG_LEVEL: "y", INTERNAL_API_TOKEN: "canary canary" });
    expect(of(findings, "settings").map(({ level }) => level)).toEqual(["FAIL", "FAIL", "FAIL"]);
    expect(JSON.stringify(findings)).not.toContain("canary");
  });

  test("a database out of reach is a FAIL and the other checks still stand", async () => {
    const findings = await doctor({ DATABASE_URL: "postgres://me:canary@127.0.0.1:1/jobs" });
    expect(of(findings, "database")).toMatchObject([{ level: "FAIL", detail: expect.stringContaining("127.0.0.1:1") }]);
    expect(JSON.stringify(findings)).not.toContain("canary");
  });

  test("an empty database is told to be migrated", async () => {
    const database = await freshDatabase({ empty: true });
    const findings = await doctor({ DATABASE_URL: database.url });
    await database.drop();
    expect(of(findings, "schema")).toMatchObject([{ level: "FAIL", advice: "run: ai-job-broker migrate" }]);
    expect(of(findings, "drift")).toEqual([]);
  });

  test("a drift, a reopened job and Django's indexes are found", async ({ db, url }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type) VALUES ('lost', 'note'), ('again', 'note')`;
    await db.sql`DELETE FROM ai_ready WHERE id = (SELECT id FROM ai_job WHERE job_id = 'lost')`;
    await db.sql`UPDATE ai_job SET settled_as = 'DONE' WHERE job_id = 'again'`;
    await db.sql`CREATE INDEX ai_job_lease_idx ON ai_job (lease_expires_at)`;
    const findings = await doctor({ DATABASE_URL: url });
    await db.sql`DROP INDEX ai_job_lease_idx`;
    const [drift] = of(findings, "drift");
    expect(drift).toMatchObject({
      level: "warn",
      detail: expect.stringMatching(/^1 job stands .* lost \(not_ready\)$/),
    });
    expect(of(findings, "reopened")).toMatchObject([{ level: "warn", detail: expect.stringContaining("again") }]);
    expect(of(findings, "indexes").at(-1)).toMatchObject({
      level: "warn",
      advice: expect.stringContaining("--finish-cut-over"),
    });
  });

  test("a port is free, a broker's, or somebody else's", async ({ served, url }) => {
    const portOf = async (PORT: string) => of(await doctor({ DATABASE_URL: url, PORT }), "port")[0];
    const health = createClient(Health, createGrpcTransport({ baseUrl: served.url }));
    await until("the broker serves", async () => (await health.check({})).status === 1);
    const broker = await portOf(new URL(served.url).port);
    expect(broker).toMatchObject({ level: "ok", detail: expect.stringContaining("a broker answers") });
    const other = await listenSomewhere();
    const { port } = other.address() as { port: number };
    const taken = await portOf(String(port));
    expect(taken).toMatchObject({ level: "FAIL", detail: expect.stringContaining("no broker") });
    other.close();
    expect(await portOf(String(port))).toMatchObject({ level: "ok", detail: expect.stringContaining("is free") });
  });

  test("a web server on the port is no broker, and an address of another machine is named", async ({ url }) => {
    const web = createWebServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    await once(web, "listening");
    const { port } = web.address() as { port: number };
    const [taken] = of(await doctor({ DATABASE_URL: url, PORT: String(port) }), "port");
    web.close();
    expect(taken).toMatchObject({ level: "FAIL", detail: expect.stringContaining("no broker") });
    const [away] = of(await doctor({ DATABASE_URL: url, HOST: "192.0.2.1" }), "port");
    expect(away).toMatchObject({ level: "FAIL", advice: expect.stringContaining("set HOST") });
  });

  test("a read-only database is a FAIL, and is not served", async ({ db, url }) => {
    const name = db.sql(new URL(url).pathname.slice(1));
    await db.sql`ALTER DATABASE ${name} SET default_transaction_read_only = on`;
    const findings = await doctor({ DATABASE_URL: url });
    const serve = await runCli(["serve"], { env: { DATABASE_URL: url, PORT: "0" } });
    await db.sql`ALTER DATABASE ${name} RESET default_transaction_read_only`;
    expect(of(findings, "database")).toContainEqual(
      expect.objectContaining({ level: "FAIL", advice: expect.stringContaining("default_transaction_read_only") }),
    );
    expect(serve).toMatchObject({ code: 1, stderr: expect.stringContaining("it is read-only") });
  });

  test("an old Node is a FAIL", () => {
    expect(checkNode("20.20.2").level).toBe("FAIL");
    expect(checkNode("22.18.0").level).toBe("ok");
  });
});
