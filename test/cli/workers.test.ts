/** What `workers` shows of one. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { tableOfWorkers } from "../../src/cli/workers.ts";
import { WorkerSchema } from "../../src/gen/aibroker/v1/admin_service_pb.ts";

const NOW = Date.UTC(2026, 10, 26);
const before = (seconds: number) => timestampFromMs(NOW - seconds * 1_000);
const shown = (worker: Parameters<typeof create<typeof WorkerSchema>>[1]) =>
  tableOfWorkers([create(WorkerSchema, worker)], NOW)
    .split("\n")[1]
    ?.replaceAll(/ +/g, " ")
    .trim();

test("a worker is shown with its streams, by what it came and when it was seen", () => {
  const streams = [60, 3, 30].map((at) => ({ maxInFlight: 2, connectedAt: before(at) }));
  expect(shown({ workerId: "gpu-1", streams, lastSeenAt: before(2) })).toBe("gpu-1 gRPC 3 (6 jobs) 0 2s ago any");
  expect(shown({ workerId: "old", legacy: true, running: 1, jobIds: ["a"], lastSeenAt: before(3) })).toBe(
    "old REST 1 3s ago any a",
  );
});
