/** The dashboard, the alerts and docs/operations.md speak of metrics that there are. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { load } from "js-yaml";
import { expect, test as plain } from "vitest";
import { CATALOG, WEBHOOK_CATALOG } from "../../src/metrics/catalog.ts";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { MOVES, OUTCOMES } from "../../src/metrics/outcomes.ts";
import { DELIVERY_OUTCOMES } from "../../src/metrics/webhook-metrics.ts";
import { REASONS } from "../../src/rpc/errors.ts";
import { test } from "../support/db.ts";
import { readPage } from "./read-page.ts";

const root = resolve(import.meta.dirname, "../..");
const textOf = (path: string) => readFileSync(join(root, path), "utf8");

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; description: string };
}

const rules = (load(textOf("ops/prometheus/alerts.yml")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const dashboard = JSON.parse(textOf("ops/grafana/ai-job-broker.json")) as {
  panels: { id: number; type: string; title: string; targets?: { expr: string }[] }[];
  templating: { list: { query: string | { query: string } }[] };
};
const expressions = [
  ...rules.map(({ expr }) => expr),
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...dashboard.templating.list.map(({ query }) => (typeof query === "string" ? query : query.query)),
];

test("every metric that the dashboard and the alerts name is one that a broker shows", async ({ db }) => {
  const metrics = createMetrics({
    db,
    version: "1",
    reasons: REASONS,
    poolSizes: { main: 1, reserved: 1 },
    streams: () => ({ count: 0, wanting: 0, all: () => [] }),
  });
  metrics.webhooks().tried("dead", 5);
  metrics.webhooks().delivered(5);
  const { types } = readPage((await metrics.scrape()).text);
  const families = [...types].flatMap(([name, type]) =>
    type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  const named = new Set(expressions.flatMap((expr) => expr.match(/\b(aibroker|process|nodejs)_\w+/g) ?? []));
  expect(named.size).toBeGreaterThan(15);
  expect([...named].filter((name) => !families.includes(name))).toEqual([]);
  // The other way round: what is counted is also looked at.
  const all = Object.keys({ ...CATALOG, ...WEBHOOK_CATALOG });
  expect(all.filter((name) => ![...named].some((one) => one.startsWith(name)))).toEqual([]);
});

plain("labels are asked for values that they can have", () => {
  const known: Record<string, readonly string[]> = {
    move: MOVES,
    outcome: [...MOVES.flatMap((move) => OUTCOMES[move] as readonly string[]), ...DELIVERY_OUTCOMES],
    reason: REASONS,
    state: ["due", "scheduled", "running", "used", "free"],
    pool: ["main", "reserved"],
  };
  const asked = expressions.flatMap((expr) =>
    Array.from(expr.matchAll(/\b(move|outcome|reason|state|pool)(?:=~?|!=)"([^"$]+)"/g)),
  );
  expect(asked.length).toBeGreaterThan(5);
  for (const [, label = "", values = ""] of asked) {
    for (const value of values.split("|")) expect(known[label], `${label}=${value}`).toContain(value);
  }
});

plain("each alert has a name of its own, a severity and words, and docs/operations.md says what to do", () => {
  const docs = textOf("docs/operations.md");
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  for (const { alert, labels, annotations } of rules) {
    expect(["page", "ticket"], alert).toContain(labels.severity);
    expect([annotations.summary, annotations.description].every(Boolean), alert).toBe(true);
    expect(docs, alert).toContain(`\`${alert}\``);
  }
});

plain("docs/operations.md lists each metric with its type and labels, and each outcome", () => {
  const rows = Array.from(
    textOf("docs/operations.md").matchAll(/^\| `(aibroker_\w+)` \| (\w+) \| ([\w, ]*)\|/gm),
    ([, name = "", type = "", labels = ""]) => [name, { type, labels: labels.trim() }] as const,
  );
  const facts = Object.entries({ ...CATALOG, ...WEBHOOK_CATALOG }).map(
    ([name, { type, labels }]) => [name, { type: type as string, labels: labels.join(", ") }] as const,
  );
  expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(facts));
  for (const move of MOVES) {
    const row = new RegExp(`^\\| ${move} \\| (.*) \\|$`, "m").exec(textOf("docs/operations.md"))?.[1] ?? "";
    expect(Array.from(row.matchAll(/`(\w+)`/g), ([, outcome]) => outcome).sort(), move).toEqual(
      [...OUTCOMES[move]].sort(),
    );
  }
});

plain("the dashboard's panels have ids and titles of their own", () => {
  const shown = dashboard.panels.filter(({ type }) => type !== "row");
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  expect(new Set(shown.map(({ title }) => title)).size).toBe(shown.length);
});

plain("promtool finds no fault with the alerts, where it is installed", () => {
  const { error, status, stdout, stderr } = spawnSync(
    "promtool",
    ["check", "rules", join(root, "ops/prometheus/alerts.yml")],
    { encoding: "utf8" },
  );
  if (error !== undefined) {
    process.stderr.write("promtool is not installed: the alert rules were parsed as YAML, not checked as PromQL\n");
    return;
  }
  expect(`${stdout}${stderr}`, "promtool").toContain("SUCCESS");
  expect(status).toBe(0);
});
