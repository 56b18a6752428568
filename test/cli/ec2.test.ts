import { expect } from "vitest";
import { AdminService, StartStatus } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { API_TOKEN, type FakeServer, fakeServer } from "../support/fake-services.ts";
import { runHere } from "./run-cli.ts";
import { test } from "./with-broker.ts";

const A = "i-0f52f9d89481385a8";

/** A broker whose starts have this outcome. */
function given(status: StartStatus): Promise<FakeServer> {
  return fakeServer({
    routes: (router) =>
      void router.service(AdminService, {
        startWorkers: ({ instanceIds }) => ({
          results: [...instanceIds, A].map((instanceId) => ({ instanceId, status, message: "so it is\n\u001b[31m" })),
        }),
      }),
  });
}

const cli = (server: FakeServer, ...args: string[]) =>
  runHere(["ec2", "start", ...args], { BROKER_URL: server.url, BROKER_TOKEN: API_TOKEN });

test("ec2 start prints a line for each id, and what it says cannot move the cursor", async () => {
  await using server = await given(StartStatus.STARTED);
  const { code, stdout, stderr } = await cli(server, "i-0000000b");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toBe(`i-0000000b  STARTED  so it is \u{fffd}[31m\n${A}  STARTED  so it is \u{fffd}[31m\n`);
});

test("ec2 start --json prints the API's answer", async () => {
  await using server = await given(StartStatus.NO_CAPACITY);
  const { code, stdout } = await cli(server, "--json");
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({ results: [{ instanceId: A, status: "START_STATUS_NO_CAPACITY" }] });
});

test.for([
  [StartStatus.RUNNING, 0],
  [StartStatus.IN_PROGRESS, 0],
  [StartStatus.STOPPING, 3],
  [StartStatus.DENIED, 3],
  [StartStatus.DRY_RUN, 3],
  // Of a newer broker.
  [99 as StartStatus, 3],
] as const)("outcome %i exits %i", async ([status, exit]) => {
  await using server = await given(status);
  expect((await cli(server)).code).toBe(exit);
});

test("a broker without instances says which setting is empty", async ({ served }) => {
  const { code, stderr } = await served.cli(["ec2", "start"]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/EC2_WORKER_INSTANCE_IDS of this broker is empty: list the workers' instances there/);
});
