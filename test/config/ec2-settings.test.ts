import { expect, test } from "vitest";
import { ConfigError, configWarnings, loadConfig } from "../../src/config.ts";

test("nothing is started by default; the region is the original's", () => {
  expect(loadConfig({})).toMatchObject({
    ec2InstanceIds: [],
    ec2Region: "ap-northeast-2",
    ec2MaxStarts: 1,
    ec2CoolDownMs: 300_000,
    ec2DryRun: false,
    ec2BootMs: 90_000,
    ec2JobMs: 10_000,
  });
  // The original's region stood in its code; the SDK's own variables decide about credentials alone.
  expect(loadConfig({ AWS_REGION: "eu-west-1" }).ec2Region).toBe("ap-northeast-2");
});

test("ids keep their order, without blanks and repeats", () => {
  const ids = " i-0f52f9d89481385a8, i-0000000a,,i-0f52f9d89481385a8 ";
  expect(loadConfig({ EC2_WORKER_INSTANCE_IDS: ids }).ec2InstanceIds).toEqual(["i-0f52f9d89481385a8", "i-0000000a"]);
});

test("other settings are taken as they are", () => {
  const env = {
    EC2_REGION: "us-gov-west-1",
    EC2_ENDPOINT: "http://127.0.0.1:5000",
    EC2_MAX_STARTS: "0",
    EC2_DRY_RUN: "yes",
    EC2_COOL_DOWN_MS: "0",
  };
  expect(loadConfig(env)).toMatchObject({
    ec2Region: "us-gov-west-1",
    ec2Endpoint: "http://127.0.0.1:5000",
    ec2MaxStarts: 0,
    ec2DryRun: true,
    ec2CoolDownMs: 0,
  });
});

test.each([
  ["EC2_WORKER_INSTANCE_IDS", "i-0f52f9d89481385a"],
  ["EC2_WORKER_INSTANCE_IDS", "I-0000000A"],
  ["EC2_WORKER_INSTANCE_IDS", "i-0000000a;i-0000000b"],
  ["EC2_WORKER_INSTANCE_IDS", Array.from({ length: 101 }, (_, n) => `i-${String(n).padStart(8, "0")}`).join(",")],
  ["EC2_REGION", "Seoul"],
  ["EC2_REGION", "ap-northeast-2a"],
  ["EC2_ENDPOINT", "localhost:5000"],
  ["EC2_MAX_STARTS", "-1"],
  ["EC2_BOOT_MS", "90s"],
])("%s=%s is refused in words", (name, value) => {
  expect(() => loadConfig({ [name]: value })).toThrow(ConfigError);
  expect(() => loadConfig({ [name]: value })).toThrow(
    new RegExp(`^a setting is wrong:\\n  ${name}: .* will not do; give `),
  );
});

test("the singular of the ids' name is a slip that is told of", () => {
  expect(configWarnings({ EC2_WORKER_INSTANCE_ID: "i-0000000a" })).toEqual([
    "EC2_WORKER_INSTANCE_ID is set but unknown; did you mean EC2_WORKER_INSTANCE_IDS?",
  ]);
});
