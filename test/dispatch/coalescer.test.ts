import { expect, test } from "vitest";
import { createCoalescer } from "../../src/dispatch/coalescer.ts";

/** A statement that ends when told. */
function gated() {
  const batches: number[][] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const run = async (items: number[]) => {
    batches.push(items);
    const end = Promise.withResolvers<void>();
    ends.push(end);
    await end.promise;
    return items.map((i) => i * 10);
  };
  return { run, batches, ends };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("an idle one runs at once; what comes meanwhile goes together, each call with its own answers", async () => {
  const { run, batches, ends } = gated();
  const coalescer = createCoalescer(run, 100);
  const first = coalescer.add([1]);
  const second = coalescer.add([2, 3]);
  const third = coalescer.add([4]);
  expect(batches).toEqual([[1]]);
  ends[0]?.resolve();
  expect(await first).toEqual([10]);
  await settled();
  expect(batches).toEqual([[1], [2, 3, 4]]);
  ends[1]?.resolve();
  expect(await second).toEqual([20, 30]);
  expect(await third).toEqual([40]);
});

test("a batch stays within its size, but one large call goes whole", async () => {
  const { run, batches, ends } = gated();
  const coalescer = createCoalescer(run, 3);
  const calls = [[1], [2, 3], [4, 5], [6, 7, 8, 9], [10]].map((items) => coalescer.add(items));
  for (let i = 0; i < 5; i++) {
    ends[i]?.resolve();
    await settled();
  }
  await Promise.all(calls);
  expect(batches).toEqual([[1], [2, 3], [4, 5], [6, 7, 8, 9], [10]]);
});

test("a statement that fails fails its own calls, and the next ones go on", async () => {
  let fail = true;
  const coalescer = createCoalescer(async (items: number[]) => {
    await settled();
    if (fail) {
      fail = false;
      throw new Error("broken");
    }
    return items;
  }, 100);
  const first = coalescer.add([1]);
  const second = coalescer.add([2]);
  await expect(first).rejects.toThrow("broken");
  expect(await second).toEqual([2]);
  expect(await coalescer.add([3])).toEqual([3]);
});

test("a call that cannot succeed takes none of its batch along", async () => {
  const { run, batches, ends } = gated();
  const coalescer = createCoalescer(async (items: number[]) => {
    const answers = await run(items);
    if (items.includes(13)) throw new Error("locked");
    return answers;
  }, 100);
  const calls = [[1], [2, 3], [13], [4]].map((items) => coalescer.add(items));
  const outcome = Promise.allSettled(calls);
  for (let i = 0; i < 5; i++) {
    ends[i]?.resolve();
    await settled();
  }
  expect((await outcome).map((o) => (o.status === "fulfilled" ? o.value : String(o.reason)))).toEqual([
    [10],
    [20, 30],
    "Error: locked",
    [40],
  ]);
  expect(batches).toEqual([[1], [2, 3, 13, 4], [2, 3], [13], [4]]);
});

test("an item may weigh more than one: a batch stays within its weight, and one heavier item goes alone", async () => {
  const { run, batches, ends } = gated();
  const coalescer = createCoalescer(run, 10, { weigh: (item) => item });
  const calls = [[1], [4, 5], [1], [1], [30], [2]].map((items) => coalescer.add(items));
  for (let i = 0; i < 5; i++) {
    ends[i]?.resolve();
    await settled();
  }
  expect(batches).toEqual([[1], [4, 5, 1], [1], [30], [2]]);
  expect(await Promise.all(calls)).toEqual([[10], [40, 50], [10], [10], [300], [20]]);
});

test("a failure that is not to be tried again is each call's own, and the next batch goes on", async () => {
  const { run, batches, ends } = gated();
  const asked: unknown[] = [];
  const coalescer = createCoalescer(run, 3, {
    again: (err) => {
      asked.push(err);
      return false;
    },
  });
  const calls = [[1], [2], [3, 4], [5]].map((items) => coalescer.add(items));
  const outcome = Promise.allSettled(calls);
  const lost = new Error("the answer was lost");
  ends[0]?.resolve();
  await settled();
  ends[1]?.reject(lost);
  await settled();
  ends[2]?.resolve();
  expect(await outcome).toEqual([
    { status: "fulfilled", value: [10] },
    { status: "rejected", reason: lost },
    { status: "rejected", reason: lost },
    { status: "fulfilled", value: [50] },
  ]);
  expect(batches).toEqual([[1], [2, 3, 4], [5]]);
  expect(asked).toEqual([lost]);
});
