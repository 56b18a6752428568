/** docs/ec2.md against the code: the permission that suffices, the settings, and that nothing can stop an instance. */
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { listSettings } from "../../src/config.ts";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/ec2.md"), "utf8");
const sources = globSync("src/**/*.ts", { cwd: root }).map((path) => ({
  path,
  text: readFileSync(join(root, path), "utf8"),
}));

interface Policy {
  Statement: { Effect: string; Action: string[]; Resource: string | string[] }[];
}

function policy(): Policy {
  return JSON.parse(/```json\n([\s\S]*?)```/.exec(page)?.[1] ?? "") as Policy;
}

/** The commands that a text makes, as the names of permissions. */
function callsIn(text: string): string[] {
  return [...text.matchAll(/\bnew (\w+)Command\(/g)].map(([, name]) => `ec2:${name}`);
}

test("the policy allows what the code calls, and nothing else", () => {
  const called = sources.flatMap(({ text }) => callsIn(text));
  expect([...new Set(called)].sort()).toEqual(["ec2:DescribeInstances", "ec2:StartInstances"]);
  expect(
    policy()
      .Statement.flatMap(({ Action }) => Action)
      .sort(),
  ).toEqual([...new Set(called)].sort());
  expect(policy().Statement.every(({ Effect }) => Effect === "Allow")).toBe(true);
  expect(callsIn("new StopInstancesCommand({})")).toEqual(["ec2:StopInstances"]);
});

test("only named instances may be started by it", () => {
  const start = policy().Statement.find(({ Action }) => Action.includes("ec2:StartInstances"));
  for (const one of start?.Resource ?? [])
    expect(one).toMatch(/^arn:aws:ec2:[a-z0-9-]+:\d{12}:instance\/i-[0-9a-f]{17}$/);
});

test("no source names a call that stops, restarts or ends an instance, in whatever form", () => {
  const ending = /\b(Stop|Terminate|Reboot|Hibernate)Instances?\b/i;
  expect(sources.filter(({ text }) => ending.test(text)).map(({ path }) => path)).toEqual([]);
});

test("the SDK is loaded where it is needed and nowhere else: never by a plain import", () => {
  const users = sources.filter(({ text }) => text.includes("@aws-sdk/"));
  expect(users.map(({ path }) => path)).toEqual(["src/loops/ec2-api.ts"]);
  const imports = users.flatMap(({ text }) => text.match(/^import .*@aws-sdk.*$/gm) ?? []);
  expect(imports.filter((line) => !line.startsWith("import type "))).toEqual([]);
});

test("the page names each setting, with its default", () => {
  for (const { env, fallback } of listSettings().filter((setting) => setting.env.startsWith("EC2_"))) {
    const row = page.split("\n").find((line) => line.startsWith("| `") && line.includes(`\`${env}\``));
    expect(row, env).toBeDefined();
    if (fallback !== undefined) expect(row?.replaceAll(",", ""), env).toMatch(new RegExp(`\\| \`?${fallback}\`? \\|`));
  }
});
