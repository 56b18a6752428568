/** The parts of the dashboard that decide something, without a browser. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GetHistoryResponseSchema, WorkerSchema } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobEventKind, JobEventSchema, JobLeaseSchema } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { StatsNowSchema } from "../../src/gen/aibroker/v1/stats_pb.ts";
import { type Json, parseJson } from "../../ui/json/parse-json.ts";
import { storyOf } from "../../ui/pages/jobs/attempts.ts";
import { historyLines } from "../../ui/pages/overview/history-lines.ts";
import { totalsOf } from "../../ui/pages/overview/totals.ts";
import { presenceOf, wayOf } from "../../ui/pages/workers/presence.ts";
import { isAhead } from "../../ui/state/grain.ts";

const { DISPATCHED, STARTED, RETRYING, RELEASED, RECLAIMED, RETRIED, DONE, FAILED, CANCELLED } = JobEventKind;

function plain(json: Json): unknown {
  if (json.kind === "object") return Object.fromEntries(json.entries.map(([key, value]) => [key, plain(value)]));
  if (json.kind === "array") return json.items.map(plain);
  return json.kind === "string" ? json.text : JSON.parse(json.text);
}

describe("JSON", () => {
  test("is read as JavaScript reads it, whatever it is and however it is spaced", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 2, "\t"), (value, indent) => {
        const read = parseJson(JSON.stringify(value, null, indent));
        expect(read && plain(read)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("numbers keep every digit", () => {
    expect(parseJson("[12345678901234567890, 0.10, -1e-7]")).toEqual({
      kind: "array",
      items: ["12345678901234567890", "0.10", "-1e-7"].map((text) => ({ kind: "plain", text })),
    });
  });

  test.each(["", "{", '{"a"}', "[1,]", '"a', "01", "nul", "{} {}", '"\\"'])("%j is none", (text) => {
    expect(parseJson(text)).toBeUndefined();
  });
});

describe("the story of a job", () => {
  const story = (kinds: [JobEventKind, workerId?: string, error?: string][], lease?: string) =>
    storyOf(
      kinds.map(([kind, workerId = "", error = ""], index) =>
        create(JobEventSchema, { kind, workerId, error, seq: BigInt(index + 1), at: timestampFromMs(index * 1_000) }),
      ),
      lease === undefined ? undefined : create(JobLeaseSchema, { workerId: lease, attempt: 9 }),
    ).chapters.map((one) =>
      one.kind === "moment" ? one.what : `${one.workerId}: ${one.end?.kind ?? "open"} ${one.end?.error ?? ""}`.trim(),
    );

  test("has a chapter for each attempt, with its end, and for what happened between them", () => {
    expect(
      story([
        [DISPATCHED],
        [STARTED, "w1"],
        [RETRYING, "w1", "no"],
        [STARTED, "w2"],
        [RECLAIMED, "w2"],
        [STARTED, "w3"],
        [RELEASED, "w3"],
        [CANCELLED],
        [RETRIED],
        [STARTED, "w4"],
        [DONE, "w4"],
      ]),
    ).toEqual(["dispatched", "w1: retrying no", "w2: reclaimed", "w3: released", "cancelled", "retried", "w4: done"]);
  });

  test("shows the attempt under way, once, whether its begin was kept or not", () => {
    expect(story([[DISPATCHED], [STARTED, "w1"]], "w1")).toEqual(["dispatched", "w1: open"]);
    expect(story([[DISPATCHED]], "w1")).toEqual(["dispatched", "w1: open"]);
  });

  test("of ends alone has attempts without a begin, and counts what was not kept", () => {
    expect(story([[FAILED, "w1", "no"]])).toEqual(["w1: failed no"]);
    expect(story([[FAILED]])).toEqual(["failed"]);
    const events = [1n, 4n, 5n].map((seq) => create(JobEventSchema, { kind: RETRIED, seq }));
    expect(storyOf(events, undefined).missing).toBe(2);
  });
});

test("totals add up the types, and know no end where one type does not get there", () => {
  const type = (name: string, due: bigint, emptyInMs?: number, paused = false) => ({
    type: name,
    due,
    paused,
    donePerMinute: 1.5,
    oldestDueAt: due > 0n ? timestampFromMs(Number(due)) : undefined,
    emptyIn: emptyInMs === undefined ? undefined : durationFromMs(emptyInMs),
  });
  const totals = (...types: ReturnType<typeof type>[]) => totalsOf(create(StatsNowSchema, { types }));
  expect(totals(type("a", 5n, 2_000), type("b", 3n, 9_000), type("c", 0n))).toMatchObject({
    due: 8,
    donePerMinute: 4.5,
    oldestDueAt: 3,
    emptyInMs: 9_000,
  });
  expect(totals(type("a", 5n, 2_000), type("b", 3n)).emptyInMs).toBeUndefined();
  // A paused one stays, whatever becomes of the others.
  expect(totals(type("a", 5n, 2_000), type("b", 3n, undefined, true))).toMatchObject({
    emptyInMs: 2_000,
    pausedTypes: 1,
  });
  expect(totals()).toMatchObject({ due: 0, oldestDueAt: undefined, emptyInMs: undefined });
});

describe("history", () => {
  const MINUTE = 60_000;
  const lines = (countedToMs: number) =>
    historyLines(
      create(GetHistoryResponseSchema, {
        step: durationFromMs(5 * MINUTE),
        firstAt: timestampFromMs(0),
        lastAt: timestampFromMs(10 * MINUTE),
        countedTo: timestampFromMs(countedToMs),
        series: [
          {
            points: [
              { at: timestampFromMs(0), done: 10n, waitP50: durationFromMs(250) },
              { at: timestampFromMs(10 * MINUTE), done: 10n },
            ],
          },
        ],
      }),
    );

  test("is per minute, with a value for each step, also where nothing happened", () => {
    const { times, done, waitP50 } = lines(15 * MINUTE);
    expect(times).toEqual([0, 300, 600]);
    expect(done).toEqual([2, 0, 2]);
    expect(waitP50).toEqual([250, null, null]);
  });

  test("counts the step under way by the part that has passed, once that says something", () => {
    expect(lines(12.5 * MINUTE).done).toEqual([2, 0, 4]);
    expect(lines(10.5 * MINUTE).done).toEqual([2, 0]);
  });
});

describe("whether a worker is there", () => {
  const now = 1_000_000;
  const ago = (ms: number | undefined) => (ms === undefined ? {} : { at: timestampFromMs(now - ms) });
  const given = (streams: number, seenAgo?: number, endedAgo?: number, legacy = false) =>
    create(WorkerSchema, {
      workerId: "w",
      legacy,
      streams: Array.from({ length: streams }, () => ({})),
      lastSeenAt: ago(seenAgo).at,
      lastStreamEndedAt: ago(endedAgo).at,
    });

  test.each([
    ["live", 30_000, false],
    ["quiet", 60_000, false],
    ["quiet", 9_000, true],
    ["gone", 300_000, false],
    ["gone", 300_000, true],
  ] as const)("without a stream its silence tells: %s after %d ms, legacy %s", (presence, silentMs, legacy) => {
    expect(presenceOf(given(0, silentMs, undefined, legacy), now)).toBe(presence);
  });

  test.each([
    ["gone", "just seen, and the stream ended", 1_000, 1_000],
    ["gone", "what came before the end is written after it", 1_000, 6_000],
    ["gone", "never written down, and the stream ended", undefined, 1_000],
    ["live", "it went on by calls", 1_000, 30_000],
    ["quiet", "it went on by calls and fell silent", 60_000, 90_000],
  ] as const)("the end of its stream tells while it is the newest: %s, %s", (presence, _, seenAgo, endedAgo) => {
    const worker = given(0, seenAgo, endedAgo);
    expect(presenceOf(worker, now)).toBe(presence);
    expect(wayOf(worker)).toBe(presence === "gone" ? "stream" : "calls");
  });

  test("an open stream is there, however long it is silent and whichever other one ended", () => {
    expect(presenceOf(given(1, 600_000), now)).toBe("live");
    expect(presenceOf(given(1, 1_000, 0), now)).toBe("live");
  });
});

describe("the clock", () => {
  // It ticks each second and knows the database's to half a second: a claim of just now was shown as "in 0 s".
  test.each([
    [60_000, false],
    [0, false],
    [-1_499, false],
    [-1_501, true],
    [-60_000, true],
  ])("a moment %d ms ago lies ahead: %s", (sinceMs, ahead) => {
    expect(isAhead(sinceMs)).toBe(ahead);
  });
});
