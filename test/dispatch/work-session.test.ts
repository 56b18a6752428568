import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { capacity, ref, seatLease, workSession } from "./fake-streams.ts";

const NOW = 1_000;
const jobs = (...ids: string[]) => ids.map((id) => seatLease(id));
const ids = (leases: { jobId: string }[]) => leases.map(({ jobId }) => jobId);

describe("what it may be given", () => {
  test("is its capacity without all that it has: brought along, pushed and acked, pushed and not acked", () => {
    const { session } = workSession({ takes: capacity(5) });
    session.keep(ref("old"), "a");
    session.push(jobs("x"), NOW);
    session.ack(1);
    session.push(jobs("y"), NOW);
    expect([session.free, session.load]).toEqual([2, 3]);
    session.drop(ref("old"));
    session.drop(ref("y"));
    expect([session.free, session.load]).toEqual([4, 1]);
  });

  test("is never less than nothing, though its capacity has shrunk below what it has", () => {
    const { session } = workSession({ takes: capacity(3, { a: 3 }) });
    session.push(jobs("x", "y"), NOW);
    expect([session.free, session.freeByType.get("a")]).toEqual([1, 1]);
    session.resize(capacity(1, { a: 1 }));
    expect([session.free, session.freeByType.get("a")]).toEqual([0, 0]);
    session.drop(ref("x"));
    expect(session.free).toBe(0);
    session.drop(ref("y"));
    expect([session.free, session.freeByType.get("a")]).toEqual([1, 1]);
  });

  test("is counted for each type that has a limit, whoever brought the job", () => {
    const { session } = workSession({ takes: capacity(9, { a: 2, b: 1 }) });
    session.keep(ref("old"), "a");
    session.push([seatLease("x", { type: "b" }), seatLease("y", { type: "c" })], NOW);
    expect([...session.freeByType]).toEqual([
      ["a", 1],
      ["b", 0],
    ]);
    session.drop(ref("x"));
    session.drop(ref("x"));
    expect(session.freeByType.get("b")).toBe(1);
  });

  test("is nothing once it takes no more jobs, or has ended", async () => {
    const leaving = workSession().session;
    leaving.stopTaking();
    expect(leaving.free).toBe(0);
    leaving.resize(capacity(20));
    expect(leaving.free).toBe(0);
    const over = workSession().session;
    over.ended = Promise.resolve();
    expect([over.free, over.takesJobs, leaving.takesJobs]).toEqual([0, false, false]);
  });

  test("is nothing while more bytes are under way than the window holds, and what it was when they are acked", () => {
    const { session } = workSession({ windowBytes: 10_000 });
    const large = seatLease("x", { payload: "x".repeat(9_000) });
    session.push([seatLease("small")], NOW);
    expect(session.free).toBe(9);
    session.push([large], NOW);
    expect(session.free).toBe(0);
    expect(session.ack(1)).toBe(false);
    expect(session.free).toBe(0);
    expect(session.ack(2)).toBe(true);
    expect(session.free).toBe(8);
  });

  test("changes are told to whoever counts seats", () => {
    let told = 0;
    const { session } = workSession({ onRoom: () => told++ });
    const tells = (change: () => unknown) => {
      const before = told;
      change();
      return told > before;
    };
    expect(tells(() => session.push(jobs("x", "y"), NOW))).toBe(true);
    expect(tells(() => session.ack(1))).toBe(true);
    expect(tells(() => session.drop(ref("x")))).toBe(true);
    expect(tells(() => session.cancel("t-y", "LOST"))).toBe(true);
    expect(tells(() => session.resize(capacity(1)))).toBe(true);
    expect(tells(() => session.stopTaking())).toBe(true);
  });
});

describe("frames and their acks", () => {
  test("frames are counted from 1, and each goes out with its number", () => {
    const { session, outlet } = workSession();
    session.push(jobs("x", "y"), NOW);
    session.push(jobs("z"), NOW);
    expect(outlet.said).toEqual(["jobs 1: x y", "jobs 2: z"]);
    expect(session.seq).toBe(2);
  });

  test("an ack covers all frames before it; an older one takes nothing back", () => {
    const { session } = workSession();
    for (const id of ["x", "y", "z"]) session.push(jobs(id), NOW);
    session.ack(2);
    expect(ids(session.unacked())).toEqual(["z"]);
    session.ack(1);
    session.ack(0);
    expect(ids(session.unacked())).toEqual(["z"]);
    expect(ids(session.leases())).toEqual(["x", "y", "z"]);
  });

  test("leases that it brought along need no ack", () => {
    const { session } = workSession();
    session.keep(ref("old"), "a");
    expect(session.unacked()).toEqual([]);
    expect(session.waitsForAckSince).toBeUndefined();
    expect(session.leases()).toEqual([ref("old")]);
  });

  test("it waits for the ack of its oldest frame since that was sent", () => {
    const { session } = workSession();
    session.push(jobs("x"), 100);
    session.push(jobs("y"), 200);
    session.push(jobs("z"), 300);
    expect(session.waitsForAckSince).toBe(100);
    session.ack(2);
    expect(session.waitsForAckSince).toBe(300);
    session.ack(3);
    expect(session.waitsForAckSince).toBeUndefined();
  });

  test("a report acks its job: a frame whose jobs have all ended is not waited for, nor in the window", () => {
    const { session } = workSession({ windowBytes: 10_000 });
    session.push([seatLease("x"), seatLease("large", { payload: "x".repeat(9_000) })], 100);
    session.drop(ref("x"));
    expect([session.free, session.waitsForAckSince, ids(session.unacked())]).toEqual([0, 100, ["large"]]);
    session.drop(ref("large"));
    expect([session.free, session.waitsForAckSince, ids(session.unacked())]).toEqual([10, undefined, []]);
    session.push(jobs("y"), 200);
    session.ack(2);
    expect([session.free, session.waitsForAckSince]).toEqual([9, undefined]);
  });
});

describe("leases that end or are to end", () => {
  test("each is dropped once, and only by the id and token that it has", () => {
    const { session } = workSession();
    session.push(jobs("x"), NOW);
    expect(session.drop({ jobId: "x", token: "t-other" })).toBe(false);
    expect(session.drop({ jobId: "other", token: "t-x" })).toBe(false);
    expect(session.has("t-x")).toBe(true);
    expect(session.drop(ref("x"))).toBe(true);
    expect(session.drop(ref("x"))).toBe(false);
    expect([session.has("t-x"), session.load]).toEqual([false, 0]);
  });

  test("a cancel is told once and keeps the seat, for the job is still being stopped", () => {
    const { session, outlet } = workSession();
    session.push(jobs("x"), NOW);
    session.cancel("t-x", "CANCELLED");
    session.cancel("t-x", "CANCELLED");
    expect(outlet.said).toEqual(["jobs 1: x", "cancel x: CANCELLED"]);
    expect(session.load).toBe(1);
  });

  test("a lost lease is told once, also after a cancel, and frees the seat", () => {
    const { session, outlet } = workSession();
    session.push(jobs("x"), NOW);
    session.cancel("t-x", "CANCELLED");
    session.cancel("t-x", "LOST");
    session.cancel("t-x", "LOST");
    session.cancel("t-x", "CANCELLED");
    expect(outlet.said).toEqual(["jobs 1: x", "cancel x: CANCELLED", "cancel x: LOST"]);
    expect(session.load).toBe(0);
  });

  test("a lease that it does not have is cancelled to nobody", () => {
    const { session, outlet } = workSession();
    session.cancel("t-x", "CANCELLED");
    session.cancel("t-x", "LOST");
    expect(outlet.said).toEqual([]);
  });
});

/** The same by plain counting: what is held, by the frame that brought it. */
const step = fc.oneof(
  fc.record({ push: fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 3 }) }),
  fc.record({ ack: fc.nat(6) }),
  fc.record({ drop: fc.nat(20) }),
  fc.record({ lose: fc.nat(20) }),
  fc.record({ resize: fc.nat(8) }),
);

test("no order of frames, acks, ends and new capacities makes it miscount", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const { session } = workSession({ takes: capacity(5, { a: 2 }), windowBytes: 3 * 2_050 });
      let max = 5;
      let acked = 0;
      let held: { jobId: string; type: string; seq: number }[] = [];
      for (const [at, one] of steps.entries()) {
        if ("push" in one) {
          const pushed = one.push.map((type, n) => ({ jobId: `${at}-${n}`, type, seq: session.seq + 1 }));
          session.push(
            pushed.map(({ jobId, type }) => seatLease(jobId, { type })),
            at,
          );
          held.push(...pushed);
        }
        if ("ack" in one) session.ack(Math.min(one.ack, session.seq));
        if ("ack" in one) acked = Math.max(acked, Math.min(one.ack, session.seq));
        const gone = "drop" in one ? held[one.drop] : "lose" in one ? held[one.lose] : undefined;
        if (gone !== undefined && "drop" in one) session.drop(ref(gone.jobId));
        if (gone !== undefined && "lose" in one) session.cancel(`t-${gone.jobId}`, "LOST");
        held = held.filter((lease) => lease !== gone);
        if ("resize" in one) max = one.resize;
        if ("resize" in one) session.resize(capacity(max, { a: 2 }));
        const unacked = held.filter(({ seq }) => seq > acked);
        expect(ids(session.leases())).toEqual(ids(held));
        expect(ids(session.unacked())).toEqual(ids(unacked));
        expect(session.free).toBe(unacked.length >= 3 ? 0 : Math.max(0, max - held.length));
        expect(session.freeByType.get("a")).toBe(Math.max(0, 2 - held.filter(({ type }) => type === "a").length));
        expect(session.waitsForAckSince === undefined).toBe(unacked.length === 0);
      }
    }),
    { numRuns: 300 },
  );
});
