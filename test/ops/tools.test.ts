/** ops/ as the programs read it that will: each is asked where it is installed, and its absence is said. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, type TestContext } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { selfSigned } from "../support/self-signed.ts";
import { ROOT, textOf } from "./documents.ts";

const folder = mkdtempSync(join(tmpdir(), "aibroker-ops-"));
afterAll(() => rmSync(folder, { recursive: true }));

function run(program: string, args: string[], env: Record<string, string> = {}) {
  const ran = spawnSync(program, args, {
    cwd: ROOT,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, ...env },
  });
  return { code: ran.status, output: `${ran.stdout}${ran.stderr}` };
}

/** Leaves the test, with a word, where a program or what it needs is not there. */
function unless(works: boolean, reason: string, skip: TestContext["skip"]): void {
  if (!works) process.stderr.write(`not checked: ${reason}\n`);
  skip(!works, reason);
}

const has = (program: string, ...args: string[]): boolean => run(program, args).code === 0;

const SECRETS = { POSTGRES_PASSWORD: "p", INTERNAL_WORKER_TOKEN: "w", INTERNAL_API_TOKEN: "a" };

test("systemd takes the unit, and finds little that it exposes", ({ skip }) => {
  unless(has("systemd-analyze", "--version"), "the systemd unit, for there is no systemd-analyze", skip);
  const unit = join(folder, "ai-job-broker.service");
  const text = textOf("ops/ai-job-broker.service")
    .replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`)
    .replace(/^WorkingDirectory=.*/m, "WorkingDirectory=/");
  writeFileSync(unit, text);
  expect(run("systemd-analyze", ["verify", unit])).toEqual({ code: 0, output: "" });
  const exposure = run("systemd-analyze", ["security", "--offline=true", "--threshold=20", "--no-pager", unit]);
  expect(exposure.code, exposure.output).toBe(0);
});

test("nginx takes the configuration, which is the one of docs/proxies.md but for addresses and paths", ({ skip }) => {
  const own = textOf("ops/nginx.conf");
  const page = (/```nginx\n([\s\S]*?)```/.exec(textOf("docs/proxies.md"))?.[1] ?? "")
    .replace("127.0.0.1:50051", "broker-1:50051")
    .replace("127.0.0.1:50052", "broker-2:50051")
    .replaceAll("/etc/nginx/broker.", "/etc/nginx/tls/broker.");
  expect(own.slice(own.indexOf("\n") + 1)).toBe(page);

  unless(has("nginx", "-v"), "the nginx configuration, for there is no nginx", skip);
  const pem = selfSigned();
  writeFileSync(join(folder, "broker.pem"), pem.cert);
  writeFileSync(join(folder, "broker.key"), pem.key);
  writeFileSync(
    join(folder, "nginx.conf"),
    own
      .replaceAll("/etc/nginx/tls", folder)
      .replace(/broker-\d:/g, "127.0.0.1:")
      .replace("listen 443", "listen 8443"),
  );
  const rest = `pid ${folder}/nginx.pid; error_log stderr;`;
  const tested = run("nginx", ["-t", "-p", folder, "-c", join(folder, "nginx.conf"), "-g", rest]);
  expect(tested.code, tested.output).toBe(0);
});

test("kustomize puts the manifests together", ({ skip }) => {
  unless(has("kubectl", "kustomize", "--help"), "the kustomization, for there is no kubectl", skip);
  const built = run("kubectl", ["kustomize", "ops/kubernetes"]);
  expect(built.code, built.output).toBe(0);
  expect(built.output.match(/^kind: .*$/gm)?.sort()).toEqual(
    ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service"].map((kind) => `kind: ${kind}`),
  );
  expect(built.output.match(/image: ai-job-broker:\d+\.\d+\.\d+/g)).toHaveLength(2);
});

test("the manifests fit Kubernetes' schemas", ({ skip }) => {
  unless(has("kubeconform", "-v"), "the manifests against Kubernetes' schemas, for there is no kubeconform", skip);
  const checked = run("kubeconform", ["-strict", "-ignore-filename-pattern", "kustomization", "ops/kubernetes"]);
  expect(checked.code, checked.output).toBe(0);
});

test("Compose takes its file", ({ skip }) => {
  unless(has("docker", "compose", "version"), "the Compose file, for there is no docker compose", skip);
  const checked = run("docker", ["compose", "-f", "ops/compose.yaml", "config", "--quiet"], SECRETS);
  expect(checked.code, checked.output).toBe(0);
});

test("the Dockerfile has no fault that a builder can tell", ({ skip }) => {
  const works = has("docker", "buildx", "version") && has("docker", "info");
  unless(works, "the Dockerfile by a builder, for there is no docker daemon", skip);
  const checked = run("docker", ["buildx", "build", "--check", "-f", "ops/Dockerfile", "."]);
  expect(checked.code, checked.output).toBe(0);
});

test("the image's health check tells a broker that serves from one that does not", async ({ db: _, url }) => {
  const command = /HEALTHCHECK[^[]*CMD (\[.*\])/.exec(textOf("ops/Dockerfile"))?.[1] ?? "[]";
  const [program, ...args] = JSON.parse(command) as string[];
  expect(program).toBe("node");
  const broker = await startTestBroker(url);
  const check = async () => {
    const child = spawn(process.execPath, args, { env: { PORT: String(broker.port) }, stdio: "ignore" });
    return await new Promise((resolve) => child.once("exit", resolve));
  };
  expect(await check()).toBe(0);
  await broker.stop();
  expect(await check()).toBe(1);
});
