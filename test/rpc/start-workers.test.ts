import { expect, test } from "vitest";
import { badField } from "../../src/errors.ts";
import { StartStatus } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import type { StartResult, StartStatus as Status } from "../../src/job/ec2-states.ts";
import { recordedMoves, refused, serviceClients } from "./service-clients.ts";

const A = "i-0f52f9d89481385a8";

/** A client, and the ids that its calls passed on. */
function given(answer: (ids: readonly string[]) => StartResult[]) {
  const asked: (readonly string[])[] = [];
  const startWorkers = async (ids: readonly string[]) => {
    asked.push(ids);
    return answer(ids);
  };
  return { admin: serviceClients({ ...recordedMoves(), startWorkers }).admin, asked };
}

test("each outcome has its own status, and words go through as they are", async () => {
  const names = Object.keys(StartStatus).filter((name) => !/^\d|UNSPECIFIED/.test(name)) as Status[];
  const { admin } = given(() => names.map((status) => ({ instanceId: A, status, message: `about ${status}` })));
  const { results } = await admin.startWorkers({});
  expect(results.map(({ status, message }) => [status, message])).toEqual(
    names.map((name) => [StartStatus[name], `about ${name}`]),
  );
});

test("the ids are passed on in their order; none stands for all", async () => {
  const { admin, asked } = given(() => []);
  await admin.startWorkers({ instanceIds: [A, "i-0000000b"] });
  await admin.startWorkers({});
  expect(asked).toEqual([[A, "i-0000000b"], []]);
});

test("what is no instance's id, or too many of them, is refused before anything is started", async () => {
  const { admin, asked } = given(() => []);
  await refused(
    admin.startWorkers({ instanceIds: [A, "web-1"] }),
    "instance_ids[1]",
    "BAD_FIELD",
    /such as i-.*got "web-1"/,
  );
  await refused(admin.startWorkers({ instanceIds: [""] }), "instance_ids[0]", "BAD_FIELD");
  await refused(admin.startWorkers({ instanceIds: Array(101).fill(A) }), "instance_ids", "BAD_FIELD", /at most 100/);
  expect(asked).toEqual([]);
});

test("a refusal of the starter reaches the caller with its field", async () => {
  const { admin } = given(() => {
    throw badField("instance_ids", "nothing can be started");
  });
  await refused(admin.startWorkers({}), "instance_ids", "BAD_FIELD", /nothing can be started/);
});
