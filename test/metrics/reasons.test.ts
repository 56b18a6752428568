/** One closed set of reasons: what errors carry, what the log's field `reason` holds, and what metrics may say. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Code } from "@connectrpc/connect";
import { expect, test as plain } from "vitest";
import { createCallMetrics } from "../../src/metrics/call-metrics.ts";
import { Refusal, reasonOf as reasonOfRefusal } from "../../src/rest/refusal.ts";
import { REASONS } from "../../src/rpc/errors.ts";
import { reasonOf } from "../../src/rpc/own-errors.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { refusedHello } from "../support/work-words.ts";
import { dotted, find, isNode, type Node, parse, place, type Source } from "../tidy/source.ts";
import { readPage } from "./read-page.ts";

const root = resolve(import.meta.dirname, "../..");
const textOf = (path: string) => readFileSync(join(root, path), "utf8");

/** As src/errors.ts spells the type out. */
const written = Array.from(
  (/export type Reason =([^;]+);/.exec(textOf("src/errors.ts"))?.[1] ?? "").matchAll(/"([A-Z_]+)"/g),
  ([, reason]) => reason as string,
);

plain("the type, the page for people, the codes of the wire and the metrics name the same reasons", () => {
  expect(written.length).toBeGreaterThan(20);
  const documented = Array.from(textOf("docs/errors.md").matchAll(/^\| `([A-Z_]+)` \|/gm), ([, reason]) => reason);
  const sorted = [...written].sort();
  expect([...documented].sort()).toEqual(sorted);
  expect([...REASONS].sort()).toEqual(sorted);
  expect(createCallMetrics(REASONS).errors.outcomes.sort()).toEqual(sorted);
});

plain("a metric takes no reason of another set", () => {
  const { errors, failed } = createCallMetrics(REASONS);
  failed("m", "max_attempts_exceeded" as never);
  expect([...errors]).toEqual([]);
});

plain("whatever Connect or a legacy endpoint answers is one of them", () => {
  const codes = Object.values(Code).filter((code): code is Code => typeof code === "number");
  for (const code of codes) expect(written).toContain(reasonOf(code));
  for (const status of [400, 401, 404, 405, 406, 408, 413, 415, 500, 503]) {
    expect(written).toContain(reasonOfRefusal(new Refusal(status, "no")));
  }
  expect(reasonOfRefusal(new TypeError("a bug"))).toBe("INTERNAL");
});

/** Log calls whose field `reason` may hold something else than a Reason. */
function strangeReasons(source: Source): string[] {
  const fields = find(source, (node, above) => {
    if (node.type !== "Property" || dotted(node["key"]) !== "reason") return false;
    const call = above.findLast(({ type }) => type === "CallExpression");
    return /(^|\.)log\.(debug|info|warn|error|fatal)$|^trace$/.test(dotted(call?.["callee"]));
  });
  const isTyped = /import [^;]*\bReason\b[^;]*errors\.ts/.test(source.text);
  return fields
    .filter(({ value }) => !(isNode(value) && isReason(value, isTyped)))
    .map(
      (node) => `${place(source, node.start)}: 'reason' in a log line is a Reason: name other words 'detail' or 'why'`,
    );
}

/** A Reason by its spelling, or, in a file that knows the type, a name that may be one. */
function isReason(value: Node, isTyped: boolean): boolean {
  if (value.type === "Literal") return written.includes(String(value["value"]));
  if (value.type === "CallExpression") return /^reason(In|Of)$/.test(dotted(value["callee"]));
  return (value.type === "Identifier" && isTyped) || /\.reason$/.test(dotted(value));
}

plain("no line of the log has a field `reason` of another set", () => {
  const paths = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "src"], { cwd: root, encoding: "utf8" })
    .split("\n")
    .filter((path) => /^src\/(broker\.ts$|dispatch|loops|metrics|rest|rpc|store)/.test(path) && path.endsWith(".ts"));
  expect(paths.length).toBeGreaterThan(100);
  expect(paths.flatMap((path) => strangeReasons(parse(path, textOf(path))))).toEqual([]);
  const bad =
    'log.debug({ reason: err.message }, "a"); trace(log, "b", c, { reason: "shouted" }); log.info({ reason });';
  expect(strangeReasons(parse("src/rpc/a.ts", bad))).toHaveLength(3);
});

/** Faults of each kind that a caller can make alone. */
async function misbehave(broker: TestBroker): Promise<void> {
  const ignored = () => undefined;
  await broker.jobs.getJob({ jobId: "nobody" }).catch(ignored);
  await broker.jobs.dispatch({ jobs: [{ type: "", payloadJson: "[" }] }).catch(ignored);
  await broker.health.check({ service: "no.Such" }).catch(ignored);
  await refusedHello(broker, {}, { token: API_TOKEN });
  await refusedHello(broker, { workerId: "" });
  await broker.rest("POST", "result", {});
  const call = (path: string, init: RequestInit) => fetch(`${broker.url}/${path}`, { method: "POST", ...init });
  await call("no.Such/Path", { body: "{}" });
  await call("aibroker.v1.JobService/GetJob", { body: "a=b" });
  const headers = { "content-type": "application/json", "x-worker-token": API_TOKEN };
  await call("aibroker.v1.JobService/GetJob", { body: '{"job', headers });
}

test("a broker that is used wrongly logs and counts reasons of the set, the same ones", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await misbehave(broker);
  const response = await fetch(`${broker.url}/metrics`, { headers: { "x-worker-token": API_TOKEN } });
  const { samples } = readPage(await response.text());
  const counted = new Set(
    samples.filter(({ name }) => name === "aibroker_errors_total").map(({ labels }) => labels["reason"] as string),
  );
  const logged = new Set(broker.lines.flatMap((line) => JSON.parse(line).reason ?? []));
  expect([...counted, ...logged].filter((reason) => !written.includes(reason))).toEqual([]);
  expect([...logged].filter((reason) => !counted.has(reason))).toEqual([]);
  for (const reason of ["JOB_NOT_FOUND", "BAD_FIELD", "WRONG_ROLE", "SERVICE_NOT_FOUND", "MALFORMED_REQUEST"]) {
    expect([...counted]).toContain(reason);
    expect([...logged]).toContain(reason);
  }
  expect([...counted]).toContain("NOT_SERVED");
});
