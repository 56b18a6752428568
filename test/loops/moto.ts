/** moto's EC2 as a fixture, where python3 has it, and broker processes that use it. */
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DescribeInstancesCommand, EC2Client, RunInstancesCommand, StopInstancesCommand } from "@aws-sdk/client-ec2";
import { type Running, startCli, watch } from "../cli/run-cli.ts";
import { addressOf } from "../cli/with-broker.ts";
import { API_TOKEN, WORKER_TOKEN } from "../support/broker.ts";
import { test as base } from "../support/db.ts";
import { until } from "../support/until.ts";

const REGION = "ap-northeast-2";
const MISSING = "there is no python3 with moto (pip install 'moto[server]'; MOTO_PYTHON names its python3)";
const KEYS = { accessKeyId: "testing", secretAccessKey: "testing" };

export interface Moto {
  /** For brokers; all that comes by it is written down. */
  endpoint: string;
  /** For the test; it goes to moto directly. */
  client: EC2Client;
  /** The action of every request that was handed on, with its first instance's id. */
  actions: string[];
  /** From now on a StartInstances is held, before or after it is handed on, and never answered. */
  hold(when: "before" | "after" | undefined): void;
  /** How many are held. */
  held(): number;
}

export interface BrokerProcess {
  url: string;
  log(): string;
  /** As a crash: SIGKILL. */
  kill(): Promise<void>;
}

interface Fixtures {
  /** Moto itself, for the whole file; undefined where there is none. */
  motoUrl: string | undefined;
  moto: Moto;
  /** Starts a broker process with these settings; ends it with the test. */
  serve: (env: Record<string, string>) => Promise<BrokerProcess>;
}

export const test = base.extend<Fixtures>({
  motoUrl: [
    async ({}, use) => {
      const python = findPython();
      if (python === undefined) {
        process.stderr.write(`EC2 is not tried against moto: ${MISSING}\n`);
        return await use(undefined);
      }
      const server = watch(spawn(python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]));
      const ask = () => /Running on (http:\S+)/.exec(server.stdout() + server.stderr())?.[1];
      await use(await until("moto listens", ask, 60_000));
      server.child.kill("SIGKILL");
      await server.done;
    },
    { scope: "file" },
  ],
  moto: async ({ motoUrl, skip }, use) => {
    skip(motoUrl === undefined, MISSING);
    const { close, ...proxy } = await startProxy(motoUrl as string);
    const client = new EC2Client({ region: REGION, endpoint: motoUrl as string, credentials: KEYS });
    await use({ ...proxy, client });
    client.destroy();
    await close();
  },
  serve: async ({ url, moto }, use) => {
    const started: Running[] = [];
    await use(async (env) => {
      const running = startCli(["serve"], {
        env: {
          DATABASE_URL: url,
          PORT: "0",
          INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
          INTERNAL_API_TOKEN: API_TOKEN,
          AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
          AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
          EC2_ENDPOINT: moto.endpoint,
          // A need must last for a boot time, if that is below 10 s.
          EC2_BOOT_MS: "3000",
          ...env,
        },
      });
      started.push(running);
      return {
        url: await addressOf(running),
        log: () => running.stdout() + running.stderr(),
        kill: async () => {
          running.child.kill("SIGKILL");
          await running.done;
        },
      };
    });
    for (const { child } of started) child.kill("SIGTERM");
    await Promise.all(started.map(({ done }) => done));
  },
});

/** The python3 that has moto: MOTO_PYTHON, or that of a folder moto-venv among the temporary files, or the PATH's. */
function findPython(): string | undefined {
  const given = process.env["MOTO_PYTHON"];
  const some = given === undefined ? [join(tmpdir(), "moto-venv/bin/python3"), "python3"] : [given];
  return some.find((python) => spawnSync(python, ["-c", "import moto.server, flask"]).status === 0);
}

async function startProxy(target: string) {
  const actions: string[] = [];
  let hold: "before" | "after" | undefined;
  let held = 0;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const form = new URLSearchParams(body);
    const isHeld = hold !== undefined && form.get("Action") === "StartInstances";
    if (isHeld && hold === "before") return void held++;
    actions.push([form.get("Action"), form.get("InstanceId.1")].filter(Boolean).join(" "));
    const { host: _, ...headers } = request.headers;
    const answer = await fetch(target, { method: "POST", headers: headers as Record<string, string>, body });
    const text = await answer.text();
    if (isHeld) return void held++;
    response.writeHead(answer.status, { "content-type": "text/xml" }).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    actions,
    hold: (when: typeof hold) => {
      hold = when;
    },
    held: () => held,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Real instances in moto, stopped. */
export async function stoppedInstances({ client }: Moto, count: number): Promise<string[]> {
  const made = await client.send(
    new RunInstancesCommand({ ImageId: "ami-12c6146b", MinCount: count, MaxCount: count }),
  );
  const ids = (made.Instances ?? []).map(({ InstanceId }) => InstanceId as string);
  await client.send(new StopInstancesCommand({ InstanceIds: ids }));
  return ids;
}

export async function statesOf({ client }: Moto, ids: string[]): Promise<(string | undefined)[]> {
  const { Reservations = [] } = await client.send(new DescribeInstancesCommand({ InstanceIds: ids }));
  const all = Reservations.flatMap(({ Instances = [] }) => Instances);
  return ids.map((id) => all.find(({ InstanceId }) => InstanceId === id)?.State?.Name);
}
