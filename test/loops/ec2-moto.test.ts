/** End to end: broker processes, the SDK's own credentials chain and HTTP, and moto's EC2 with instances that exist there. */
import { StartInstancesCommand, TerminateInstancesCommand } from "@aws-sdk/client-ec2";
import { expect } from "vitest";
import { createWorker } from "../../src/client/index.ts";
import { runCli } from "../cli/run-cli.ts";
import { API_TOKEN, WORKER_TOKEN } from "../support/broker.ts";
import { givenJob } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { ageIntents, intents } from "./fake-ec2.ts";
import { statesOf, stoppedInstances, test } from "./moto.ts";

/** A worker of the SDK as it would run on the instance; the answer stops it. */
function startWorker(url: string, workerId: string, type: "ocr" | "embedding"): () => Promise<void> {
  const stop = new AbortController();
  const types = { [type]: { concurrency: 1, handler: async () => ({}) } };
  const ended = createWorker({ url, token: WORKER_TOKEN, workerId, types, signals: false }).run({
    signal: stop.signal,
  });
  return () => {
    stop.abort();
    return ended;
  };
}

test("of two brokers one starts the right instance, once; its worker comes and does the job", async ({
  db,
  moto,
  serve,
  onTestFinished,
}) => {
  const [gone, running, first, second] = (await stoppedInstances(moto, 4)) as [string, string, string, string];
  await moto.client.send(new TerminateInstancesCommand({ InstanceIds: [gone] }));
  await moto.client.send(new StartInstancesCommand({ InstanceIds: [running] }));
  const env = { EC2_WORKER_INSTANCE_IDS: [gone, running, first, second].join(",") };
  const brokers = await Promise.all([serve(env), serve(env)]);
  // It runs and its worker is there, but takes another type.
  const other = startWorker(brokers[0].url, `other-${running}`, "embedding");
  onTestFinished(other);
  await until("the other worker is connected", async () => (await db.sql`SELECT FROM ai_session`).length === 1);
  await givenJob(db, { type: "ocr" });

  await until("an instance was started", async () => (await intents(db)).length > 0, 60_000);
  await until("it runs", async () => (await statesOf(moto, [first]))[0] === "running", 60_000);
  onTestFinished(startWorker(brokers[1].url, `ocr-${first}`, "ocr"));
  await until("the job is done", async () => (await db.sql`SELECT FROM ai_job WHERE status = 'DONE'`).length === 1);
  await until("its worker has come", async () => (await intents(db))[0]?.outcome === "connected", 60_000);

  expect(await intents(db)).toEqual([{ id: first, source: "loop", started: true, outcome: "connected" }]);
  expect(await statesOf(moto, [running, first, second])).toEqual(["running", "running", "stopped"]);
  expect(moto.actions.filter((action) => action !== "DescribeInstances")).toEqual([`StartInstances ${first}`]);
  const logs = brokers.map(({ log }) => log()).join("\n");
  expect(logs.match(/starting the instance/g)).toHaveLength(1);
  expect(logs).toContain(`${gone} is terminated`);
}, 120_000);

test("by hand: the command starts what is stopped and says for each id what happened", async ({
  db: _,
  moto,
  serve,
}) => {
  const [up, down, gone] = (await stoppedInstances(moto, 3)) as [string, string, string];
  await moto.client.send(new StartInstancesCommand({ InstanceIds: [up] }));
  await moto.client.send(new TerminateInstancesCommand({ InstanceIds: [gone] }));
  const { url } = await serve({ EC2_WORKER_INSTANCE_IDS: [up, down, gone].join(",") });
  const cli = (...ids: string[]) =>
    runCli(["ec2", "start", ...ids], { env: { BROKER_URL: url, BROKER_TOKEN: API_TOKEN } });
  const all = await cli();
  expect({ code: all.code, stderr: all.stderr }).toEqual({ code: 3, stderr: "" });
  expect(all.stdout.split("\n")).toEqual([
    expect.stringMatching(`^${up}  RUNNING  `),
    expect.stringMatching(`^${down}  STARTED  `),
    expect.stringMatching(`^${gone}  NOT_FOUND  .*take it out of EC2_WORKER_INSTANCE_IDS`),
    "",
  ]);
  expect(await statesOf(moto, [down])).toEqual(["running"]);
  expect(await cli(down)).toMatchObject({ code: 0, stdout: expect.stringContaining("RUNNING") });
  expect(moto.actions.filter((action) => action.startsWith("Start"))).toEqual([`StartInstances ${down}`]);
}, 120_000);

test.for([
  ["before its call arrived", "before"],
  ["after its call arrived, before the answer", "after"],
] as const)(
  "a broker that is killed %s: another one sees to it, and the instance is started once",
  { timeout: 120_000 },
  async ([, when], { db, moto, serve }) => {
    const [id] = (await stoppedInstances(moto, 1)) as [string];
    const env = { EC2_WORKER_INSTANCE_IDS: id };
    const first = await serve(env);
    moto.hold(when);
    await givenJob(db, { type: "ocr" });
    await until("the start is under way", () => moto.held() === 1, 60_000);
    await first.kill();
    expect(await intents(db)).toEqual([{ id, source: "loop", started: false, outcome: null }]);

    moto.hold(undefined);
    await ageIntents(db, 61);
    await serve(env);
    await until("the start is known", async () => (await intents(db))[0]?.started === true, 60_000);
    expect(await statesOf(moto, [id])).toEqual(["running"]);
    expect(await intents(db)).toEqual([{ id, source: "loop", started: true, outcome: null }]);
    expect(moto.actions.filter((action) => action !== "DescribeInstances")).toEqual([`StartInstances ${id}`]);
  },
);
