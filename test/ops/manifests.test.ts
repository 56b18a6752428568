/** ops/ against the program: its settings, ports and times, and what each file promises. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { listSettings, loadConfig } from "../../src/config.ts";
import { packageVersion } from "../../src/version.ts";
import { documentsOf, manifests, ROOT, textOf } from "./documents.ts";

/** What a stop may take beyond SHUTDOWN_TIMEOUT_MS (src/cli/run-broker.ts). */
const STOP_MARGIN_S = 5;

const dockerfile = textOf("ops/Dockerfile");
const unit = textOf("ops/ai-job-broker.service");
const objects = manifests();
const pod = at<Pod>(objects.get("Deployment"), "spec", "template", "spec");
const settings = at<Record<string, string>>(objects.get("ConfigMap"), "data");
const [compose = {}] = documentsOf("ops/compose.yaml");
const services = at<Record<string, Service>>(compose, "services");
const known = new Set(listSettings().map(({ env }) => env));

interface Container {
  name: string;
  args: string[];
  ports?: { name: string; containerPort: number }[];
  env?: { name: string; valueFrom: { secretKeyRef: { name: string; key: string } } }[];
  envFrom?: Record<string, { name: string }>[];
  readinessProbe?: { grpc: { port: number } };
  lifecycle?: { preStop: { exec: { command: string[] } } };
  securityContext: object;
}

interface Pod {
  terminationGracePeriodSeconds: number;
  securityContext: object;
  initContainers: Container[];
  containers: Container[];
}

interface Service {
  environment?: Record<string, string>;
  command?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  stop_grace_period?: string;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: object;
}

function at<T>(value: unknown, ...path: string[]): T {
  return path.reduce<unknown>((part, name) => (part as Record<string, unknown>)[name], value) as T;
}

const brokers = Object.entries(services).filter(([name]) => name.startsWith("broker-"));
const [broker] = pod.containers as [Container];

describe("settings", () => {
  test("every name that a file sets is one that the broker reads", () => {
    const set = [
      ...Object.keys(settings),
      ...[...pod.containers, ...pod.initContainers].flatMap(({ env }) => (env ?? []).map(({ name }) => name)),
      ...[...brokers, ["migrate", services["migrate"]] as const].flatMap(([, one]) =>
        Object.keys(one?.environment ?? {}),
      ),
      ...Array.from(dockerfile.matchAll(/^ENV (.*)$/gm), ([, pairs]) => pairs?.match(/\w+(?==)/g) ?? []).flat(),
      ...Array.from(unit.matchAll(/^Environment=(\w+)/gm), ([, name]) => String(name)),
    ];
    expect(set).toContain("SHUTDOWN_TIMEOUT_MS");
    expect(set.filter((name) => !known.has(name) && name !== "NODE_ENV")).toEqual([]);
  });

  test("the values are good ones", () => {
    expect(loadConfig(settings)).toMatchObject({ host: "0.0.0.0", port: 50051, shutdownTimeoutMs: 30_000 });
  });

  test("the secrets that the pods want are the ones that the page makes", () => {
    const page = textOf("docs/deploy.md");
    const wanted = [
      ...(broker.envFrom?.flatMap((from) => from["secretRef"]?.name ?? []) ?? []),
      ...pod.initContainers.flatMap(({ env }) => env?.map(({ valueFrom }) => valueFrom.secretKeyRef.name) ?? []),
    ];
    expect(wanted).toEqual(["ai-job-broker", "ai-job-broker-migrate"]);
    for (const name of wanted) expect(page).toContain(`kubectl create secret generic ${name} `);
  });
});

describe("ports", () => {
  test("all files speak of one", () => {
    const port = loadConfig({}).port;
    expect(dockerfile).toContain(`EXPOSE ${port}\n`);
    expect(dockerfile).toContain(`PORT=${port}\n`);
    expect(settings["PORT"]).toBe(String(port));
    expect(broker.ports).toEqual([{ name: "grpc", containerPort: port }]);
    expect(broker.readinessProbe).toMatchObject({ grpc: { port } });
    expect(at(objects.get("Service"), "spec", "ports")).toMatchObject([{ port, targetPort: "grpc" }]);
    expect(textOf("ops/nginx.conf").match(/server broker-\d:\d+/g)).toEqual(
      brokers.map(([name]) => `server ${name}:${port}`),
    );
  });
});

describe("stops", () => {
  test("each gives a broker the time that it takes to drain", () => {
    const drainS = Number(settings["SHUTDOWN_TIMEOUT_MS"]) / 1_000 + STOP_MARGIN_S;
    const preStopS = Number(broker.lifecycle?.preStop.exec.command.at(-1));
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(preStopS + drainS);
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(drainS);
    expect(unit).toContain(`Environment=SHUTDOWN_TIMEOUT_MS=${settings["SHUTDOWN_TIMEOUT_MS"]}\n`);
    expect(brokers).toHaveLength(2);
    for (const [, one] of brokers) {
      expect(one.environment?.["SHUTDOWN_TIMEOUT_MS"]).toBe(settings["SHUTDOWN_TIMEOUT_MS"]);
      expect(Number.parseInt(one.stop_grace_period ?? "", 10)).toBeGreaterThan(drainS);
    }
  });

  test("a disruption leaves one broker at least", () => {
    expect(at<number>(objects.get("Deployment"), "spec", "replicas")).toBeGreaterThan(1);
    expect(at(objects.get("PodDisruptionBudget"), "spec", "maxUnavailable")).toBe(1);
    expect(at(objects.get("Deployment"), "spec", "strategy", "rollingUpdate", "maxUnavailable")).toBe(0);
  });

  test("service, budget and deployment speak of the same pods", () => {
    const labels = at(objects.get("Deployment"), "spec", "template", "metadata", "labels");
    expect(at(objects.get("Deployment"), "spec", "selector", "matchLabels")).toEqual(labels);
    expect(at(objects.get("PodDisruptionBudget"), "spec", "selector", "matchLabels")).toEqual(labels);
    expect(at(objects.get("Service"), "spec", "selector")).toEqual(labels);
  });
});

describe("rights", () => {
  test("no container is root, writes to its disk or has a capability", () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
    for (const { securityContext } of [...pod.containers, ...pod.initContainers]) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    }
    for (const [, one] of brokers) expect(one).toMatchObject({ read_only: true, cap_drop: ["ALL"] });
    expect(dockerfile).toMatch(/\nUSER 1000:1000\n/);
  });

  test("migrate runs before the brokers, and only there", () => {
    expect([pod.initContainers.map(({ args }) => args), broker.args]).toEqual([[["migrate"]], ["serve"]]);
    expect(services["migrate"]).toMatchObject({
      command: ["migrate"],
      depends_on: { postgres: { condition: "service_healthy" } },
    });
    for (const [, one] of brokers) {
      expect(one.depends_on).toEqual({ migrate: { condition: "service_completed_successfully" } });
    }
  });
});

describe("the image", () => {
  const stages = dockerfile.split(/^FROM /m).slice(1);

  test("copies what is there, and the context holds it", () => {
    const admitted = new Set(textOf("ops/Dockerfile.dockerignore").match(/(?<=^!).*$/gm));
    const sources = stages.flatMap((stage) =>
      Array.from(stage.matchAll(/^COPY (?!--from)(.+) \S+$/gm), ([, names]) => names?.split(" ") ?? []).flat(),
    );
    expect(sources).toContain("src");
    for (const source of sources) {
      expect(existsSync(join(ROOT, source)), source).toBe(true);
      expect(admitted, source).toContain(source);
    }
    const packed = (JSON.parse(textOf("package.json")) as { files: string[] }).files;
    // What is packed and not built there must be copied there.
    for (const name of packed.filter((one) => one !== "dist")) {
      expect(
        sources.some((source) => name === source || name.startsWith(`${source}/`)),
        name,
      ).toBe(true);
    }
  });

  test("is installed by the lock file from the packed package, without what only tests need", () => {
    expect(stages).toHaveLength(3);
    expect(stages[1]).toMatch(
      /COPY --from=package \/packed\/package\/ \.\/\nCOPY package-lock\.json \.\/\nRUN npm ci --omit=dev /,
    );
    expect(stages[2]).not.toMatch(/^RUN /m);
    expect(dockerfile).toContain('ENTRYPOINT ["node", "/app/bin/ai-job-broker.js"]\nCMD ["serve"]\n');
    expect(at(documentsOf("ops/kubernetes/kustomization.yaml")[0], "images")).toMatchObject([
      { newTag: packageVersion() },
    ]);
  });
});

test("the pages name no file that is not there", () => {
  for (const page of ["docs/deploy.md", "docs/tls.md", "docs/retention.md"]) {
    const paths = textOf(page).match(/ops\/[\w./-]*\w/g) ?? [];
    const links = Array.from(textOf(page).matchAll(/\]\((?!http)([^)#]+)\)/g), ([, link]) =>
      join("docs", String(link)),
    );
    for (const path of [...paths, ...links]) expect(existsSync(join(ROOT, path)), `${page}: ${path}`).toBe(true);
  }
});
