/** What `doctor`, and the page of the dashboard, finds in the database. */
import { shortDuration } from "../short-duration.ts";
import type { Sql } from "../store/db.ts";
import * as ask from "../store/doctor.ts";
import { findDrift, findReopened } from "../store/drift.ts";
import { schemaState } from "../store/migrate.ts";
import { missingServeRights } from "../store/serve-rights.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

const OLDEST_VERSION = 130_000;
const SKEW_MS = 1_000;
const OLD_SNAPSHOT_MS = 10 * 60_000;

export interface CheckOptions {
  /** Connections that a broker opens. */
  poolSize: number;
  /** How many jobs are looked through for a drift; a million unless told. */
  driftJobs?: number;
}

/** All checks that need a connection, in the order in which they are shown. */
export async function checkDatabase(sql: Sql, options: CheckOptions): Promise<Finding[]> {
  const { poolSize, driftJobs = 1_000_000 } = options;
  const askedMs = Date.now();
  const health = await ask.serverHealth(sql);
  const answeredMs = Date.now();
  const findings = [...checkServer(health, poolSize), checkClock(health.nowMs, askedMs, answeredMs)];
  const rights = await checkRights(sql);
  findings.push(rights);
  // A role that may not even look.
  if (rights.level !== "ok") return findings;
  const schema = await checkSchema(sql);
  findings.push(schema, ...(await checkVacuum(sql)));
  if (schema.level === "ok")
    findings.push(...(await checkIndexes(sql)), await checkDrift(sql, driftJobs), await checkReopened(sql));
  return findings;
}

function checkServer(health: ask.ServerHealth, poolSize: number): Finding[] {
  const findings: Finding[] = [];
  const name = `PostgreSQL ${health.version}`;
  if (health.versionNumber >= OLDEST_VERSION) findings.push(ok("database", `${name} answers`));
  else findings.push(fail("database", `${name} is too old`, "use PostgreSQL 13 or newer"));
  if (health.inRecovery)
    findings.push(fail("database", "it is a read-only standby", "point DATABASE_URL at the primary"));
  else if (health.readOnly)
    findings.push(fail("database", "it is read-only", "switch default_transaction_read_only off, for this role too"));
  const isDurable = health.fsync && health.synchronousCommit !== "off";
  if (isDurable) findings.push(ok("durability", `fsync on, synchronous_commit ${health.synchronousCommit}`));
  else {
    const detail = `fsync ${health.fsync ? "on" : "off"}, synchronous_commit ${health.synchronousCommit}: a crash loses jobs`;
    findings.push(
      fail("durability", detail, "set both to on in postgresql.conf, or with ALTER DATABASE and ALTER ROLE"),
    );
  }
  if (!health.autovacuum) findings.push(warn("vacuum", "autovacuum is off", "turn it on: the queue tables live by it"));
  const free = health.maxConnections - health.usedConnections;
  const connections = `${health.usedConnections} of ${health.maxConnections} connections in use`;
  if (free > poolSize) findings.push(ok("connections", `${connections}; a broker opens up to ${poolSize}`));
  else
    findings.push(
      warn(
        "connections",
        `${connections}; a broker opens up to ${poolSize}`,
        "raise max_connections or lower DATABASE_POOL",
      ),
    );
  return findings;
}

function checkClock(databaseMs: number, askedMs: number, answeredMs: number): Finding {
  // The answer was made at some moment between the two; what lies outside of them is skew for sure.
  const skewMs = databaseMs < askedMs ? databaseMs - askedMs : Math.max(0, databaseMs - answeredMs);
  const size = shortDuration(Math.abs(skewMs));
  if (Math.abs(skewMs) <= SKEW_MS) return ok("clock", `this machine's and the database's agree to ${size}`);
  const detail = `the database's is ${size} ${skewMs > 0 ? "ahead" : "behind"}`;
  return warn(
    "clock",
    detail,
    "run NTP on both; leases go by the database's clock, ages on this screen by this machine's",
  );
}

async function checkRights(sql: Sql): Promise<Finding> {
  const missing = await missingServeRights(sql);
  if (missing.length === 0) return ok("rights", "this role may do what a broker does");
  const advice = `as the owner of the tables run: ${missing.join("; ")}`;
  return fail("rights", "this role may not do all that a broker does; the checks below were left out", advice);
}

async function checkSchema(sql: Sql): Promise<Finding> {
  const { state, detail } = await schemaState(sql);
  if (state === "current") return ok("schema", detail);
  const advice: Record<typeof state, string> = {
    empty: "run: ai-job-broker migrate",
    django: "run: ai-job-broker migrate",
    older: "run: ai-job-broker migrate",
    newer: "install a newer ai-job-broker",
    foreign: "mend what differs, or set DATABASE_URL to another database",
  };
  return fail("schema", detail, advice[state]);
}

async function checkIndexes(sql: Sql): Promise<Finding[]> {
  const invalid = await ask.invalidIndexes(sql);
  const findings =
    invalid.length === 0
      ? [ok("indexes", "all valid")]
      : [fail("indexes", `broken: ${invalid.join(", ")}`, "run: ai-job-broker migrate, which makes them anew")];
  const django = await ask.djangoClaimIndexes(sql);
  if (django.length > 0) {
    const advice = "once Django claims no more, run: ai-job-broker migrate --finish-cut-over (docs/cut-over.md)";
    findings.push(
      warn("indexes", `${django.join(", ")}: only Django's claims use them, each write pays for them`, advice),
    );
  }
  return findings;
}

async function checkVacuum(sql: Sql): Promise<Finding[]> {
  const oldest = await ask.oldestSnapshot(sql);
  const findings: Finding[] = [];
  if (oldest === null || oldest.ageMs < OLD_SNAPSHOT_MS)
    findings.push(ok("vacuum", "no old transaction holds it back"));
  else {
    const detail = `${oldest.holder} has held a snapshot for ${shortDuration(oldest.ageMs)}: claims slow down until it ends`;
    findings.push(warn("vacuum", detail, "end it, or set idle_in_transaction_session_timeout"));
  }
  const slots = await ask.idleSlots(sql);
  if (slots.length > 0) {
    findings.push(
      warn("vacuum", `replication slots without a reader: ${slots.join(", ")}`, "drop them or start their readers"),
    );
  }
  return findings;
}

async function checkDrift(sql: Sql, maxJobs: number): Promise<Finding> {
  const { drifts, complete } = await findDrift(sql, { maxJobs });
  if (drifts.length === 0) {
    const seen = `none in the first ${maxJobs.toLocaleString("en")} jobs`;
    return ok("drift", complete ? "the state tables agree with ai_job" : seen);
  }
  const shown = drifts.slice(0, 3);
  const jobIds = await ask.jobIdsOf(
    sql,
    shown.map(({ id }) => id),
  );
  const examples = shown.map(({ id, kind }) => `${jobIds.get(id) ?? `row ${id}, which has no job`} (${kind})`);
  const jobs =
    drifts.length === 1 && complete ? "1 job stands" : `${drifts.length}${complete ? "" : " or more"} jobs stand`;
  const detail = `${jobs} wrong in the state tables, for example ${examples.join(", ")}`;
  return warn(
    "drift",
    detail,
    "a running broker's sweep mends them; look for who writes with the triggers switched off",
  );
}

async function checkReopened(sql: Sql): Promise<Finding> {
  const ids = await findReopened(sql);
  if (ids.length === 0) return ok("reopened", "no ended job was opened again");
  const detail = `${ids.length === 1 ? "1 job that was DONE is" : `${ids.length} jobs that were DONE are`} open again, for example ${ids.slice(0, 3).join(", ")}`;
  return warn("reopened", detail, "Django's publish or mark_failed did it: they run twice; cancel what should not");
}
