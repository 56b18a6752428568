/** Heartbeats and the watch over a silent stream, on fake time. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Beats, type Judged } from "../../src/client/beats.ts";
import type { Verdict } from "../../src/client/handler.ts";
import { Listener } from "../../src/client/listening.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("heartbeats", () => {
  function given() {
    const sent: { at: number; leases: string[]; percent: (number | undefined)[] }[] = [];
    const judged: Judged[] = [];
    const troubles: unknown[] = [];
    const state = { answer: (_: string): Verdict => "CONTINUE", fails: false, alive: true };
    const startedAt = performance.now();
    const beats = new Beats({
      send: async (leases) => {
        if (state.fails) throw new Error("away");
        sent.push({
          at: Math.round(performance.now() - startedAt),
          leases: leases.map(({ leaseToken }) => leaseToken ?? ""),
          percent: leases.map(({ progress }) => progress?.percent),
        });
        return leases.map(({ leaseToken }) => state.answer(leaseToken ?? ""));
      },
      judged: (verdicts) => void judged.push(...verdicts),
      trouble: (error) => void troubles.push(error),
      isAlive: () => state.alive,
    });
    beats.pace(3_000);
    const hold = (leaseToken: string) => beats.hold([{ jobId: "j", leaseToken }]);
    return { beats, hold, sent, judged, troubles, state };
  }

  test("every lease is extended once an interval, and none when there is none", async () => {
    const { beats, hold, sent } = given();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(sent).toEqual([]);
    hold("a");
    await vi.advanceTimersByTimeAsync(1_000);
    hold("b");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(sent.map(({ at, leases }) => [at, leases.join("")])).toEqual([
      [23_000, "ab"],
      [26_000, "ab"],
    ]);
    beats.drop("a");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(sent[2]?.leases).toEqual(["b"]);
    beats.drop("b");
    await vi.advanceTimersByTimeAsync(20_000);
    expect(sent).toHaveLength(3);
  });

  test("progress goes ahead, once a second, for those leases alone that have some", async () => {
    const { beats, hold, sent } = given();
    hold("a");
    hold("b");
    await vi.advanceTimersByTimeAsync(1_500);
    beats.progress("a", { percent: 10, note: "" });
    beats.progress("a", { percent: 20, note: "" });
    await vi.advanceTimersByTimeAsync(0);
    beats.progress("a", { percent: 30, note: "" });
    await vi.advanceTimersByTimeAsync(999);
    expect(sent.map(({ at, percent }) => [at, percent])).toEqual([[1_500, [20]]]);
    await vi.advanceTimersByTimeAsync(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(sent.slice(1).map(({ at, percent }) => [at, percent])).toEqual([
      [2_500, [30]],
      [3_000, [undefined, undefined]],
    ]);
  });

  test("a failure is tried again within the lease, told once, and so is its end", async () => {
    const { hold, sent, troubles, state } = given();
    hold("a");
    state.fails = true;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(troubles).toHaveLength(1);
    state.fails = false;
    await vi.advanceTimersByTimeAsync(750);
    expect(sent.map(({ at }) => at)).toEqual([5_250]);
    expect(troubles).toEqual([expect.any(Error), undefined]);
  });

  test("a lost lease is told and let go; a cancelled one is told and kept", async () => {
    const { hold, sent, judged, state } = given();
    state.answer = (token) => (token === "a" ? "LOST" : token === "b" ? "CANCEL" : "CONTINUE");
    for (const token of "abc") hold(token);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(sent.map(({ leases }) => leases.join(""))).toEqual(["abc", "bc"]);
    expect(judged).toEqual([
      { leaseToken: "a", verdict: "LOST" },
      { leaseToken: "b", verdict: "CANCEL" },
      { leaseToken: "b", verdict: "CANCEL" },
    ]);
  });

  test("more than a thousand leases go in several calls", async () => {
    const { hold, sent } = given();
    for (let count = 0; count < 1_001; count += 1) hold(`${count}`);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(sent.map(({ leases }) => leases.length)).toEqual([1_000, 1]);
  });

  test("a process that is taken for dead extends nothing until it is back", async () => {
    const { hold, sent, state } = given();
    hold("a");
    state.alive = false;
    await vi.advanceTimersByTimeAsync(9_000);
    expect(sent).toEqual([]);
    state.alive = true;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(sent).toHaveLength(1);
  });
});

describe("a stream", () => {
  function given() {
    const ping = vi.fn();
    const silent = vi.fn();
    return { ping, silent, listener: new Listener({ pingMs: 2_000, silenceMs: 6_000, ping, silent }) };
  }

  test("is pinged when nothing is heard for an interval, and not before", async () => {
    const { ping, listener } = given();
    await vi.advanceTimersByTimeAsync(1_500);
    listener.heard();
    await vi.advanceTimersByTimeAsync(1_900);
    expect(ping).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(100);
    expect(ping).toHaveBeenCalledTimes(1);
    listener.stop();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(ping).toHaveBeenCalledTimes(1);
  });

  test("is taken for dead after its silence, told once", async () => {
    const { ping, silent } = given();
    await vi.advanceTimersByTimeAsync(5_999);
    expect(silent).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(ping).toHaveBeenCalledTimes(2);
    expect(silent).toHaveBeenCalledTimes(1);
  });

  test("is not taken for dead when it was we who stood still", async () => {
    const { silent, ping, listener } = given();
    // The event loop is held: time goes on, and no timer runs.
    const now = performance.now();
    const blocked = vi.spyOn(performance, "now").mockReturnValue(now + 60_000);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(silent).not.toHaveBeenCalled();
    expect(ping).toHaveBeenCalledTimes(1);
    blocked.mockRestore();
    listener.stop();
  });
});
