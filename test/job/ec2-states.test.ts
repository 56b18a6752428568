import { describe, expect, test } from "vitest";
import { troubleOf } from "../../src/job/ec2-faults.ts";
import { arrivals, type Instance, type OpenIntent, standingOf, stepOf } from "../../src/job/ec2-states.ts";

const FIRST = new Date("2026-01-01T00:00:00Z");
const LATER = new Date("2026-01-02T00:00:00Z");
const instance = (state: string, launchedAt: Date | null = FIRST): Instance => ({
  id: "i-0000000a",
  state,
  launchedAt,
  stateReason: "",
});
const intent = (more: Partial<OpenIntent> = {}): OpenIntent => ({
  id: 1,
  instanceId: "i-0000000a",
  launchedBefore: FIRST,
  startedAgoMs: null,
  isFound: false,
  isAlerted: false,
  ...more,
});
const step = (one: OpenIntent, found: Instance | undefined) => stepOf(one, found, 270_000);

test.each([
  ["stopped", "start"],
  ["pending", "coming"],
  ["running", "up"],
  ["stopping", "later"],
  ["shutting-down", "gone"],
  ["terminated", "gone"],
  ["", "gone"],
])("an instance that is %s: %s", (state, standing) => {
  expect(standingOf(instance(state))).toBe(standing);
});

test("an instance that EC2 does not know is gone", () => {
  expect(standingOf(undefined)).toBe("gone");
});

describe("an intent of whose call nothing is known", () => {
  test("is called for where the instance is stopped as it was", () => {
    expect(step(intent(), instance("stopped"))).toBe("call");
    expect(step(intent({ launchedBefore: null }), instance("stopped", null))).toBe("call");
  });

  test("was called for where the instance is up, or was launched since", () => {
    expect(step(intent(), instance("pending", LATER))).toBe("started");
    expect(step(intent(), instance("running", LATER))).toBe("started");
    expect(step(intent(), instance("stopped", LATER))).toBe("stopped");
    expect(step(intent({ launchedBefore: null }), instance("stopped", LATER))).toBe("stopped");
  });

  test("waits while the instance goes down, and ends where there is none", () => {
    expect(step(intent(), instance("stopping"))).toBe("wait");
    expect(step(intent(), instance("terminated"))).toBe("gone");
    expect(step(intent(), undefined)).toBe("gone");
  });
});

describe("an intent that was called for", () => {
  const started = (ms: number, more: Partial<OpenIntent> = {}) => intent({ startedAgoMs: ms, ...more });

  test("is never called for again, whatever EC2 shows", () => {
    for (const state of ["stopped", "pending", "running", "stopping", "terminated"]) {
      for (const ms of [0, 1e3, 1e6, 1e9]) expect(step(started(ms), instance(state))).not.toBe("call");
    }
  });

  test("waits for the worker, and people are told once when it is late", () => {
    expect(step(started(270_000), instance("running", LATER))).toBe("wait");
    expect(step(started(270_001), instance("running", LATER))).toBe("alert");
    expect(step(started(1e9, { isAlerted: true }), instance("running", LATER))).toBe("wait");
  });

  test("believes an old 'stopped' for a minute only where nothing was launched since", () => {
    expect(step(started(59_000), instance("stopped"))).toBe("wait");
    expect(step(started(60_000), instance("stopped"))).toBe("stopped");
    expect(step(started(1_000), instance("stopped", LATER))).toBe("stopped");
    expect(step(started(1_000, { isFound: true }), instance("stopping"))).toBe("stopped");
  });
});

describe("whose worker has come", () => {
  const a = { id: 1, instanceId: "i-0000000a" };
  const b = { id: 2, instanceId: "i-0000000b" };
  const come = (...workerIds: string[]) =>
    [a, b].flatMap(({ id }) => workerIds.map((workerId) => ({ intentId: id, workerId })));

  test("a name tells it, whatever the order", () => {
    expect(arrivals([a, b], come("ocr-i-0000000b", "other"))).toEqual([
      { intentId: 2, instanceId: "i-0000000b", workerId: "ocr-i-0000000b" },
      { intentId: 1, instanceId: "i-0000000a", workerId: "other" },
    ]);
  });

  test("without names the oldest intent gets the first, and each worker is one instance's", () => {
    expect(arrivals([a, b], come("w1"))).toEqual([{ intentId: 1, instanceId: "i-0000000a", workerId: "w1" }]);
    expect(arrivals([a, b], come("w1", "w2")).map(({ intentId, workerId }) => [intentId, workerId])).toEqual([
      [1, "w1"],
      [2, "w2"],
    ]);
  });

  test("a worker that is named after another instance is nobody's here", () => {
    expect(arrivals([a], [{ intentId: 1, workerId: "ocr-i-0f52f9d89481385a8" }])).toEqual([]);
  });
});

test.each([
  ["UnauthorizedOperation", "denied"],
  ["AuthFailure", "denied"],
  ["CredentialsProviderError", "denied"],
  ["RequestLimitExceeded", "throttled"],
  ["InsufficientInstanceCapacity", "capacity"],
  ["VcpuLimitExceeded", "capacity"],
  ["InvalidInstanceID.NotFound", "gone"],
  ["IncorrectInstanceState", "state"],
  ["SomethingNew", "refused"],
  // The broker's clock is off: the SDK corrects itself by the answer.
  ["RequestExpired", "unknown"],
])("EC2's %s means: %s", (code, trouble) => {
  expect(troubleOf(code, true)).toBe(trouble);
});

test("what did not come from EC2, or was its own fault, says nothing about whether the start was made", () => {
  expect(troubleOf("TimeoutError", false)).toBe("unknown");
  expect(troubleOf("InternalError", false)).toBe("unknown");
});
