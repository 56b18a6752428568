/** One Postgres per test run, with a migrated database that each test file clones. */
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { withDatabase } from "../../src/store/address.ts";
import { openPool } from "../../src/store/db.ts";
import { startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { migrate } from "../../src/store/migrate.ts";
import { makeRunFolder } from "./run-folder.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A server where tests may create databases. */
    adminUrl: string;
    /** The migrated database there. */
    template: string;
    /** How CREATE DATABASE copies the template: file by file from 15 on, which costs two thirds of logging each page. */
    copying: string;
    /** A temporary folder that goes with the run. */
    runFolder: string;
  }
}

/** Uses TEST_DATABASE_URL, an admin's URL of any Postgres from 13 on, or starts a Postgres in a temporary folder. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runFolder = await makeRunFolder();
  // Node's own cache of stripped and compiled modules, for the programs and threads that tests start by the dozen.
  process.env["NODE_COMPILE_CACHE"] ??= join(runFolder, "compiled");
  const server = process.env["TEST_DATABASE_URL"]
    ? given(process.env["TEST_DATABASE_URL"])
    : await startServer(join(runFolder, "server"));
  const template = `aibroker_test_${process.pid}_template`;
  let copying: string;
  try {
    await onServer(server.url, `CREATE DATABASE ${template} TEMPLATE template0 ENCODING 'UTF8'`);
    await migrate(withDatabase(server.url, template));
    const [version] = await onServer(server.url, "SHOW server_version_num");
    copying = Number(version?.["server_version_num"]) >= 150_000 ? "STRATEGY file_copy" : "";
  } catch (error) {
    await server.stop();
    throw error;
  }
  project.provide("adminUrl", server.url);
  project.provide("template", template);
  project.provide("copying", copying);
  project.provide("runFolder", runFolder);
  return async () => {
    await onServer(server.url, `DROP DATABASE IF EXISTS ${template} WITH (FORCE)`).finally(() => server.stop());
  };
}

interface Server {
  url: string;
  stop(): Promise<void>;
}

function given(url: string): Server {
  return { url, stop: async () => undefined };
}

async function startServer(dataDir: string): Promise<Server> {
  const postgres = await startEmbeddedPostgres({
    dataDir,
    durable: false,
    settings: { max_connections: "300", shared_buffers: "64MB", max_wal_size: "256MB", autovacuum_naptime: "5s" },
  });
  return { url: postgres.url, stop: () => postgres.stop() };
}

async function onServer(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 60_000 }, 1);
  return await sql.unsafe(statement).finally(() => sql.end());
}
