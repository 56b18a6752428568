import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect } from "vitest";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { openPool } from "../../src/store/db.ts";
import { freshDatabase } from "../support/db.ts";
import { until } from "../support/until.ts";
import { runCli, startCli } from "./run-cli.ts";
import { API_TOKEN, addressOf, listenSomewhere, test, WORKER_TOKEN } from "./with-broker.ts";

const TOKENS = { INTERNAL_WORKER_TOKEN: WORKER_TOKEN, INTERNAL_API_TOKEN: API_TOKEN };

describe("serve on a database of one's own", () => {
  test("prints its address alone on stdout, JSON lines on stderr, and ends with 0 on SIGTERM", async ({ url }) => {
    const running = startCli(["serve"], { env: { ...TOKENS, DATABASE_URL: url, PORT: "0" } });
    const address = await addressOf(running);
    expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const health = createClient(Health, createGrpcTransport({ baseUrl: address }));
    await until("it serves", async () => (await health.check({})).status === 1);
    running.child.kill("SIGTERM");
    const { code, stdout, stderr } = await running.done;
    expect(code).toBe(0);
    expect(stdout).toBe(`ai-job-broker 0.1.0 listening on ${address}\n`);
    const lines = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { msg: string });
    expect(lines.at(-1)?.msg).toBe("stopped");
    expect(stderr).not.toContain(API_TOKEN);
    expect(stderr).not.toContain(WORKER_TOKEN);
  });

  test("a second SIGTERM does not wait for a call that hangs", async ({ url }) => {
    const patience = { STATEMENT_TIMEOUT_MS: "60000", LOCK_TIMEOUT_MS: "60000" };
    const running = startCli(["serve"], { env: { ...TOKENS, ...patience, DATABASE_URL: url, PORT: "0" } });
    const transport = createGrpcTransport({ baseUrl: await addressOf(running) });
    const jobs = createClient(JobService, transport);
    const lock = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000 }, 1);
    try {
      await lock`BEGIN`;
      await lock`LOCK TABLE ai_job IN ACCESS EXCLUSIVE MODE`;
      const headers = { "x-worker-token": API_TOKEN };
      const call = jobs.dispatch({ jobs: [{ type: "note" }] }, { headers }).catch((error: Error) => error);
      await until("the call hangs", async () => {
        const [row] = await lock`SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted`;
        return row?.["n"] > 0;
      });
      running.child.kill("SIGTERM");
      await until("the stop has begun", () => running.stderr().includes("stopping"));
      await until("a later one ends it", () => {
        running.child.kill("SIGTERM");
        return running.child.exitCode !== null;
      });
      expect((await running.done).code).toBe(143);
      expect(await call).toBeInstanceOf(Error);
    } finally {
      await lock`ROLLBACK`;
      await lock.end();
    }
  });

  // Five programs one after the other.
  test("refuses a database without the schema and names migrate, which then makes it", {
    timeout: 60_000,
  }, async () => {
    const database = await freshDatabase({ empty: true });
    try {
      const env = { ...TOKENS, DATABASE_URL: database.url, PORT: "0" };
      const refused = await runCli(["serve"], { env });
      expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("ai-job-broker migrate") });
      const migrated = await runCli(["migrate", "--json"], { env });
      expect(migrated.code).toBe(0);
      expect(JSON.parse(migrated.stdout)).toMatchObject({ from: "empty" });
      expect(await runCli(["migrate"], { env })).toMatchObject({ code: 0, stdout: "nothing to do\n" });
      // Past a pooler, where there is one: its advisory lock is a session's.
      const pooled = { ...env, DATABASE_URL: "postgres://127.0.0.1:1/jobs", DATABASE_DIRECT_URL: database.url };
      expect(await runCli(["migrate"], { env: pooled })).toMatchObject({ code: 0, stdout: "nothing to do\n" });
      const running = startCli(["serve"], { env });
      await addressOf(running);
      running.child.kill("SIGTERM");
      expect((await running.done).code).toBe(0);
    } finally {
      await database.drop();
    }
  });

  test("a database that cannot be reached exits 4, without its password", async () => {
    const env = { DATABASE_URL: "postgres://me:canary-password@127.0.0.1:1/jobs" };
    for (const command of ["serve", "migrate"]) {
      const { code, stderr } = await runCli([command], { env });
      expect(code, command).toBe(4);
      expect(stderr).toContain("cannot reach the database jobs at 127.0.0.1:1 (DATABASE_URL)");
      expect(stderr).not.toContain("canary");
    }
  });

  test("a taken port is named, with what to do", async ({ url }) => {
    const taken = await listenSomewhere();
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await runCli(["serve"], { env: { ...TOKENS, DATABASE_URL: url, PORT: String(port) } });
    taken.close();
    expect(code).toBe(1);
    expect(stderr.trim().split("\n").at(-1)).toMatch(new RegExp(`^ai-job-broker: .*${port}.*PORT`));
  });

  test("an address that others can reach, missing tokens and slips are warned of", async ({ url }) => {
    const env = { DATABASE_URL: url, PORT: "0", HOST: "0.0.0.0", INTERNAL_WORKER_TOKENS: "canary" };
    const running = startCli(["serve"], { env });
    await addressOf(running);
    running.child.kill("SIGTERM");
    const { stderr } = await running.done;
    for (const words of ["no TLS", "INTERNAL_API_TOKEN is not set", "did you mean INTERNAL_WORKER_TOKEN?"]) {
      expect(stderr).toContain(words);
    }
    expect(stderr).not.toContain("canary");
  });
});

describe("dev", () => {
  test("makes tokens that the other commands find, and keeps them over a restart on the same data", async ({
    folder,
  }) => {
    const env = { DATA_DIR: `${folder}/data`, PORT: "0" };
    const first = startCli(["dev"], { env });
    const address = await addressOf(first);
    const { stdout: id } = await runCli(["dispatch", "ocr", '{"image_path": "a.png"}'], { env });
    expect(await runCli(["jobs", "get", id.trim()], { env })).toMatchObject({ code: 0 });
    for (const tool of [
      "npx ai-job-broker dispatch",
      "grpcurl -plaintext",
      "buf curl",
      "curl -H",
      `${address}/api/v1`,
    ]) {
      expect(first.stdout()).toContain(tool);
    }
    const token = /dev-api-\S+(?=')/.exec(first.stdout())?.[0];
    first.child.kill("SIGINT");
    expect((await first.done).code).toBe(0);

    const second = startCli(["dev"], { env });
    await addressOf(second);
    expect(second.stdout()).toContain(String(token));
    expect((await runCli(["jobs", "get", id.trim()], { env })).stdout).toMatch(/^status +PENDING$/m);
    second.child.kill("SIGINT");
    expect((await second.done).code).toBe(0);
  }, 60_000);
});
