/** Reports that wait for an answer, on fake time. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Outbox, type Parcel } from "../../src/client/outbox.ts";

interface Named extends Parcel {
  name: string;
}

function given(maxBytes = 100) {
  const settled: string[] = [];
  const refused: string[] = [];
  const sent: { id: bigint; names: string[] }[] = [];
  const outbox = new Outbox<Named, string>({
    maxBytes: () => maxBytes,
    settle: ({ name }, result) => settled.push(`${name} ${result}`),
    refused: ({ name }) => refused.push(name),
  });
  const carrier = {
    send: (id: bigint, parcels: readonly Named[]) => void sent.push({ id, names: parcels.map(({ name }) => name) }),
  };
  const put = (names: string, bytes = 1) => {
    for (const name of names) outbox.put({ name, bytes });
  };
  return { outbox, carrier, settled, refused, sent, put };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("what comes in one turn goes in one message, at once", async () => {
  const { outbox, carrier, sent, put } = given();
  outbox.carryBy(carrier);
  put("abc");
  expect(sent).toEqual([]);
  await vi.advanceTimersByTimeAsync(0);
  expect(sent).toEqual([{ id: 1n, names: ["a", "b", "c"] }]);
});

test("while an answer is awaited, a batch is gathered for 5 ms", async () => {
  const { outbox, carrier, sent, put } = given();
  outbox.carryBy(carrier);
  put("a");
  await vi.advanceTimersByTimeAsync(0);
  put("b");
  await vi.advanceTimersByTimeAsync(4);
  put("c");
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent[1]?.names).toEqual(["b", "c"]);
});

test("no message has more bytes or items than it may, but a large one goes by itself", async () => {
  const { outbox, carrier, sent, put } = given(100);
  outbox.carryBy(carrier);
  put("ab", 60);
  put("c", 500);
  put("def", 30);
  await vi.advanceTimersByTimeAsync(0);
  expect(sent.map(({ names }) => names.join(""))).toEqual(["a", "b", "c", "def"]);
  for (let count = 0; count < 1_500; count += 1) put("x", 0);
  await vi.advanceTimersByTimeAsync(5);
  expect(sent.slice(4).map(({ names }) => names.length)).toEqual([1_000, 500]);
});

test("an answer settles each parcel, and the box is empty", async () => {
  const { outbox, carrier, settled, put } = given();
  outbox.carryBy(carrier);
  put("ab");
  await vi.advanceTimersByTimeAsync(0);
  const empty = outbox.empty();
  outbox.answer(1n, ["yes", "no"]);
  await empty;
  expect(settled).toEqual(["a yes", "b no"]);
  expect(outbox.size).toBe(0);
});

test("an answer that is too short leaves the rest to be sent again", async () => {
  const { outbox, carrier, sent, settled, put } = given();
  outbox.carryBy(carrier);
  put("ab");
  await vi.advanceTimersByTimeAsync(0);
  outbox.answer(1n, ["yes"]);
  await vi.advanceTimersByTimeAsync(0);
  expect(settled).toEqual(["a yes"]);
  expect(sent[1]?.names).toEqual(["b"]);
});

test("what was not answered goes again, in its order, with the next carrier", async () => {
  const { outbox, carrier, sent, settled, put } = given();
  outbox.carryBy(carrier);
  put("a");
  await vi.advanceTimersByTimeAsync(0);
  put("b");
  await vi.advanceTimersByTimeAsync(5);
  outbox.carryBy(undefined);
  put("c");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sent).toHaveLength(2);
  outbox.carryBy(carrier);
  await vi.advanceTimersByTimeAsync(0);
  expect(sent[2]?.names).toEqual(["a", "b", "c"]);
  outbox.answer(1n, ["late"]);
  expect(settled).toEqual([]);
});

test("a batch that nobody answers goes again after 30 s", async () => {
  const { outbox, carrier, sent, put } = given();
  outbox.carryBy(carrier);
  put("a");
  await vi.advanceTimersByTimeAsync(29_999);
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(2);
  expect(sent[1]).toEqual({ id: 2n, names: ["a"] });
});

test("asked to wait, it waits with everything", async () => {
  const { outbox, carrier, sent, put } = given();
  outbox.carryBy(carrier);
  put("a");
  await vi.advanceTimersByTimeAsync(0);
  outbox.postpone(1n, 1_000);
  put("b");
  await vi.advanceTimersByTimeAsync(999);
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent[1]?.names).toEqual(["a", "b"]);
});

test("of a batch that cannot be read, the one at fault is found and nothing else is lost", async () => {
  const { outbox, carrier, sent, settled, refused, put } = given();
  outbox.carryBy({
    send: (id, parcels) => {
      carrier.send(id, parcels);
      queueMicrotask(() => {
        if (parcels.some(({ name }) => name === "c")) outbox.refuse(id, new Error("bad"));
        else
          outbox.answer(
            id,
            parcels.map(() => "yes"),
          );
      });
    },
  });
  put("abcd");
  await vi.advanceTimersByTimeAsync(100);
  expect(refused).toEqual(["c"]);
  expect(settled).toEqual(["a yes", "b yes", "d yes"]);
  expect(sent.map(({ names }) => names.join(""))).toEqual(["abcd", "a", "b", "c", "d"]);
  expect(outbox.size).toBe(0);
});

test("a stream that ended over one of several batches is not ended over it for ever", async () => {
  const { outbox, carrier, settled, refused, sent, put } = given();
  const isBad = (names: string[]) => names.includes("b");
  outbox.carryBy(carrier);
  put("a");
  await vi.advanceTimersByTimeAsync(0);
  put("bc");
  await vi.advanceTimersByTimeAsync(5);
  // The stream dies with both under way, and every later one dies when it is sent the bad one.
  let streams = 0;
  const die = () => {
    streams += 1;
    outbox.refuseAll(new Error("bad"));
    outbox.carryBy(stream);
  };
  const stream = {
    send: (id: bigint, parcels: readonly Named[]) => {
      carrier.send(id, parcels);
      queueMicrotask(() => {
        if (isBad(parcels.map(({ name }) => name))) die();
        else
          outbox.answer(
            id,
            parcels.map(() => "yes"),
          );
      });
    },
  };
  die();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(refused).toEqual(["b"]);
  expect(settled.sort()).toEqual(["a yes", "c yes"]);
  expect(streams).toBe(2);
  expect(sent.length).toBeLessThan(7);
});
