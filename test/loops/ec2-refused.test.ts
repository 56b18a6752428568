import { describe, expect } from "vitest";
import { test } from "../support/db.ts";
import { givenJob } from "../support/jobs.ts";
import { A, ageIntents, B, FakeCloud, fakeBroker, intents, refusal } from "./fake-ec2.ts";

describe("when EC2 says no", () => {
  test("no capacity: the instance rests, the next is started in the same round", async ({ db }) => {
    const cloud = new FakeCloud(A, B);
    cloud.startFaults.set(A, refusal("InsufficientInstanceCapacity", "no room in ap-northeast-2a", 500));
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.rounds(2);
    expect(cloud.starts).toEqual([B]);
    expect(await intents(db)).toMatchObject([
      { id: A, outcome: "capacity" },
      { id: B, outcome: null },
    ]);
    expect(broker.said.filter((line) => line.startsWith("warn"))).toEqual([
      expect.stringMatching(
        /not started: ec2:StartInstances: no room in ap-northeast-2a \(InsufficientInstanceCapacity\)/,
      ),
    ]);
  });

  test("throttled: EC2 is left alone, longer each time, and then the next id is tried", async ({ db }) => {
    const cloud = new FakeCloud(A, B);
    for (const id of [A, B]) cloud.startFaults.set(id, refusal("RequestLimitExceeded", "slow down", 503));
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.rounds(4);
    expect(await intents(db)).toMatchObject([{ id: A, outcome: "throttled" }]);
    cloud.startFaults.delete(A);
    broker.pass(30_000);
    await broker.rounds();
    expect(await intents(db)).toMatchObject([{ id: A }, { id: B, outcome: "throttled" }]);
    broker.pass(30_000);
    await broker.rounds();
    expect(cloud.starts).toEqual([]);
    await ageIntents(db, 61);
    broker.pass(30_000);
    await broker.rounds();
    expect(cloud.starts).toEqual([A]);
  });

  test.for([
    ["UnauthorizedOperation", "ec2:StartInstances"],
    ["UnauthorizedOperation", "ec2:DescribeInstances"],
    ["CredentialsProviderError", "ec2:DescribeInstances"],
  ] as const)("%s on %s: one error that says what to do, and nothing for an hour", async ([code, call], { db }) => {
    const cloud = new FakeCloud(A, B);
    const fault = Object.assign(refusal(code, "You are not. Encoded authorization failure message: AAAA"), {
      name: code,
    });
    if (call === "ec2:StartInstances") cloud.startFaults.set(A, fault);
    else cloud.describeFault = fault;
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.rounds(50);
    const errors = broker.said.filter((line) => line.startsWith("error"));
    expect(errors).toEqual([
      expect.stringMatching(
        `${call}: You are not. \\(${code}\\): give this broker's AWS identity the policy of docs/ec2.md`,
      ),
    ]);
    expect({ describes: cloud.describes, starts: cloud.starts }).toEqual({ describes: 1, starts: [] });
    cloud.startFaults.clear();
    cloud.describeFault = undefined;
    await ageIntents(db, 301);
    broker.pass(3_600_000);
    await broker.rounds(2);
    expect(cloud.starts).toEqual([A]);
  });

  test("AWS away: asked again after 30 s, then after twice as long, up to 10 minutes; back, it is started", async ({
    db,
  }) => {
    const cloud = new FakeCloud(A);
    cloud.describeFault = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.rounds(200);
    // 36 minutes: at once, then after 30, 60, 120, 240, 480, 600 and 600 s.
    expect(cloud.describes).toBe(8);
    expect(broker.said.at(-1)).toMatch(/^error: no instance can be looked at.*connect ECONNREFUSED \(ECONNREFUSED\)/);
    cloud.describeFault = undefined;
    broker.pass(600_000);
    await broker.rounds(2);
    expect(cloud.starts).toEqual([A]);
  });
});
