import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ConfigError,
  configWarnings,
  type Environment,
  listSettings,
  loadClientConfig,
  loadConfig,
} from "../src/config.ts";
import { selfSigned } from "./support/self-signed.ts";

const CANARY = "canary-7f3a";

function faultsOf(env: Environment): string {
  try {
    loadConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error("this environment was taken");
}

describe("defaults", () => {
  test("an empty environment gives the documented numbers", () => {
    expect(loadConfig({})).toMatchObject({
      dataDir: resolve(".ai-job-broker"),
      host: "127.0.0.1",
      port: 50051,
      workerTokens: [],
      apiTokens: [],
      readTokens: [],
      leaseTtlMs: 120_000,
      shimLeaseTtlMs: 120_000,
      defaultMaxAttempts: 5,
      backoffBaseMs: 2000,
      backoffMaxMs: 120_000,
      backoffJitter: 0,
      maxDeliveries: 20,
      cancelGraceMs: 30_000,
      reclaimEveryMs: 1000,
      pollEveryMs: 1000,
      shutdownTimeoutMs: 30_000,
      maxPayloadBytes: 1_048_576,
      maxResultBytes: 8_388_608,
      maxRequestBytes: 16_777_216,
      maxAnswerBytes: 3_145_728,
      shimMaxBodyBytes: 8_388_608,
      strictTypes: false,
      maxPending: 0,
      retentionDays: 0,
      retentionMode: "delete",
      databasePool: 8,
      databaseReservedPool: 4,
      statementTimeoutMs: 5000,
      lockTimeoutMs: 1000,
      openIntrospection: true,
      metricsOpen: false,
      corsOrigins: [],
      workMaxStreams: 10_000,
      workPingMs: 20_000,
      workSilenceMs: 60_000,
      workAckTimeoutMs: 30_000,
      workMaxFramesPerSecond: 1_000,
      logLevel: "info",
    });
  });

  test("the default that a person reads is the one that is used", () => {
    const shown = Object.fromEntries(listSettings().flatMap((one) => (one.fallback ? [[one.env, one.fallback]] : [])));
    const { brokerUrl, ...rest } = loadConfig(shown);
    expect(rest).toEqual(loadConfig({}));
    expect(brokerUrl).toBe("http://127.0.0.1:50051");
  });

  test("an empty or blank value counts as unset", () => {
    const blank = Object.fromEntries(listSettings().map((one, i) => [one.env, i % 2 ? "" : "  "]));
    expect(loadConfig(blank)).toEqual(loadConfig({}));
  });

  test("the settings cannot be changed later", () => {
    expect(Object.isFrozen(loadConfig({}))).toBe(true);
  });

  test("every setting has its own name, words for people, and what it takes", () => {
    const settings = listSettings();
    expect(new Set(settings.map((one) => one.env)).size).toBe(settings.length);
    for (const one of settings) expect([one.env, one.about, one.allowed].every(Boolean), one.env).toBe(true);
  });
});

describe("values", () => {
  test("token lists are split at commas, for rotation, without blanks and repeats", () => {
    const config = loadConfig({ INTERNAL_WORKER_TOKEN: " new , old,,old", INTERNAL_API_TOKEN: "," });
    expect(config.workerTokens).toEqual(["new", "old"]);
    expect(config.apiTokens).toEqual([]);
  });

  test.each([
    ["true", true],
    ["1", true],
    ["Yes", true],
    ["off", false],
    ["FALSE", false],
  ])("STRICT_TYPES=%s is %s", (given, meant) => {
    expect(loadConfig({ STRICT_TYPES: given }).strictTypes).toBe(meant);
  });

  test.each([
    "postgres://localhost/jobs",
    "postgresql://user:p%40ss@db.example:5433/jobs?sslmode=require",
    "postgres://user@a:5432,b:5433/jobs",
    "postgres://postgres@localhost:5432/postgres?host=%2Ftmp%2Fsocket",
    "postgres:///jobs?host=/run/postgresql",
  ])("DATABASE_URL=%s is taken as it is", (url) => {
    expect(loadConfig({ DATABASE_URL: url }).databaseUrl).toBe(url);
  });

  test("the ends of a range are in it", () => {
    expect(loadConfig({ PORT: "0", POLL_EVERY_MS: "1000", BACKOFF_JITTER: "1" })).toMatchObject({
      port: 0,
      backoffJitter: 1,
    });
    expect(loadConfig({ PORT: "65535", POLL_EVERY_MS: "10", BACKOFF_JITTER: "0.25" })).toMatchObject({
      port: 65535,
      pollEveryMs: 10,
      backoffJitter: 0.25,
    });
  });
});

describe("faults", () => {
  test("one message names every wrong setting, what was given, and what is allowed", () => {
    const message = faultsOf({
      PORT: "eighty",
      LEASE_TTL_MS: "1",
      POLL_EVERY_MS: "1001",
      LOG_LEVEL: "loud",
      STRICT_TYPES: "ja",
    });
    expect(message.split("\n")).toEqual([
      "5 settings are wrong:",
      '  PORT: "eighty" will not do; give a whole number from 0 to 65535 (default 50051)',
      '  LOG_LEVEL: "loud" will not do; give trace, debug, info, warn, error, fatal, silent (default info)',
      '  LEASE_TTL_MS: "1" will not do; give a whole number from 100 to 86400000 (default 120000)',
      '  POLL_EVERY_MS: "1001" will not do; give a whole number from 10 to 1000 (default 1000)',
      '  STRICT_TYPES: "ja" will not do; give true or false (default false)',
    ]);
  });

  test.each(["1e3", "0x10", "12.5", "-1", "9007199254740993", "1 000"])("%s is no port", (given) => {
    expect(faultsOf({ PORT: given })).toContain("PORT");
  });

  test("rules between settings are checked beside the single ones", () => {
    const message = faultsOf({
      HOST: "a b",
      MAX_RESULT_BYTES: "20000000",
      LOCK_TIMEOUT_MS: "6000",
      BACKOFF_BASE_MS: "200000",
      STRICT_TYPES: "ja",
    });
    expect(message).toContain("5 settings are wrong");
    for (const name of ["HOST", "STRICT_TYPES", "MAX_REQUEST_BYTES", "STATEMENT_TIMEOUT_MS", "BACKOFF_MAX_MS"])
      expect(message).toContain(name);
  });

  test("a rule is silent where one of its own settings is wrong already", () => {
    expect(faultsOf({ MAX_RESULT_BYTES: "20000000", MAX_REQUEST_BYTES: "x" })).toMatch(
      /^a setting is wrong:\n {2}MAX_REQUEST/,
    );
  });

  test("a way past a pooler needs a pooler's", () => {
    const direct = { DATABASE_DIRECT_URL: "postgres://db/jobs" };
    expect(faultsOf(direct)).toMatch(/DATABASE_DIRECT_URL leads past .* DATABASE_URL/);
    const both = loadConfig({ ...direct, DATABASE_URL: "postgres://pooler/jobs" });
    expect(both.databaseDirectUrl).toBe(direct.DATABASE_DIRECT_URL);
  });

  test("a token must not open both sides", () => {
    expect(faultsOf({ INTERNAL_WORKER_TOKEN: `a,${CANARY}`, INTERNAL_API_TOKEN: CANARY })).toMatch(/share a token/);
  });

  test("a token that only reads is no other's", () => {
    for (const other of ["INTERNAL_WORKER_TOKEN", "INTERNAL_API_TOKEN"]) {
      expect(faultsOf({ INTERNAL_READ_TOKEN: CANARY, [other]: CANARY })).toMatch(/INTERNAL_READ_TOKEN shares a token/);
    }
    expect(loadConfig({ INTERNAL_READ_TOKEN: "new,old", INTERNAL_API_TOKEN: "a" }).readTokens).toEqual(["new", "old"]);
  });

  test("TLS needs a certificate and a key, and both must be there to read", () => {
    const folder = mkdtempSync(join(tmpdir(), "aibroker-config-"));
    try {
      const [cert, key] = [join(folder, "c.pem"), join(folder, "k.pem")];
      writeFileSync(cert, "");
      expect(faultsOf({ TLS_CERT_FILE: cert })).toContain("go together");
      expect(faultsOf({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key })).toContain("TLS_KEY_FILE");
      writeFileSync(key, "");
      expect(faultsOf({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key })).toContain("are no pair");
      const pair = selfSigned();
      writeFileSync(cert, pair.cert);
      writeFileSync(key, selfSigned().key);
      expect(faultsOf({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key })).toContain("are no pair");
      writeFileSync(key, pair.key);
      expect(loadConfig({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key })).toMatchObject({
        tlsCertFile: cert,
        tlsKeyFile: key,
      });
      const withCa = { TLS_CLIENT_CA_FILE: cert, TLS_CERT_FILE: cert, TLS_KEY_FILE: key };
      expect(loadConfig(withCa)).toMatchObject({ tlsClientCaFile: cert });
      expect(faultsOf({ TLS_CLIENT_CA_FILE: cert })).toContain("set TLS_CERT_FILE and TLS_KEY_FILE");
      expect(faultsOf({ ...withCa, TLS_CLIENT_CA_FILE: key })).toContain("TLS_CLIENT_CA_FILE holds no PEM certificate");
      expect(faultsOf({ ...withCa, TLS_CLIENT_CA_FILE: join(folder, "none") })).toContain("TLS_CLIENT_CA_FILE");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each<Environment>([
    { INTERNAL_WORKER_TOKEN: `${CANARY} x` },
    { INTERNAL_API_TOKEN: `${CANARY}\u00e9` },
    { BROKER_TOKEN: `${CANARY}\nx` },
    { DATABASE_URL: `mysql://root:${CANARY}@db/jobs` },
    { DATABASE_URL: `root:${CANARY}@db/jobs` },
    { DATABASE_URL: `host=db password=${CANARY}` },
    { DATABASE_URL: `postgres://root:${CANARY}@db:99999/jobs` },
    { DATABASE_URL: `postgres://root:${CANARY}%zz@db/jobs` },
    { DATABASE_URL: `postgres://root:${CANARY}#1@db/jobs` },
    { BROKER_URL: `http://user:${CANARY}@broker:50051` },
  ])("no message shows a secret: %o", (env) => {
    expect(faultsOf(env)).not.toContain(CANARY);
  });

  test("whatever the environment holds, it is taken or refused in words", () => {
    const names = listSettings().map((one) => one.env);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.string({ unit: "binary" })), (env) => {
        try {
          loadConfig(env);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          for (const line of (error as Error).message.split("\n").slice(1)) expect(line).toMatch(/^ {2}[A-Z_]+/);
        }
      }),
      { numRuns: 100 },
    );
  });
});

test("a wrong setting of the broker does not stop a client command", () => {
  expect(loadClientConfig({ PORT: "x", BROKER_URL: "https://broker:443" }).brokerUrl).toBe("https://broker:443");
  expect(() => loadClientConfig({ BROKER_URL: "broker:50051" })).toThrow(/BROKER_URL/);
});

describe("slips of a name", () => {
  test.each([
    ["INTERNAL_WORKER_TOKENS", "INTERNAL_WORKER_TOKEN"],
    ["INTERNAL_WORKER_TOEKN", "INTERNAL_WORKER_TOKEN"],
    ["LEASE_TTL", "LEASE_TTL_MS"],
    ["LEASE_TTL_SM", "LEASE_TTL_MS"],
    ["DATABASE_URI", "DATABASE_URL"],
    ["database_url", "DATABASE_URL"],
    ["HOME", undefined],
    ["SSL_CERT_FILE", undefined],
    ["TEST_DATABASE_URL", undefined],
    ["PATH", undefined],
  ])("%s is probably meant as %s", (given, meant) => {
    const expected = meant === undefined ? [] : [`${given} is set but unknown; did you mean ${meant}?`];
    expect(configWarnings({ [given]: "x" })).toEqual(expected);
  });

  test("a name is no slip while the real one is set, or while it is empty", () => {
    expect(configWarnings({ DATABASE_URI: "x", DATABASE_URL: "y" })).toEqual([]);
    expect(configWarnings({ DATABASE_URI: "" })).toEqual([]);
  });
});
