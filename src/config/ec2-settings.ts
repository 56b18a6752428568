/** The settings of the EC2 starter (docs/ec2.md). */
import { z } from "zod";
import { flag, type Setting, splitList, whole } from "./setting.ts";

const DAY = 86_400_000;
const MOST_INSTANCES = 100;

export const ec2Settings = {
  ec2InstanceIds: z
    .string()
    .transform(splitList)
    .pipe(z.array(z.string().regex(/^i-([0-9a-f]{8}|[0-9a-f]{17})$/)).max(MOST_INSTANCES))
    .default([])
    .meta({
      setting: {
        env: "EC2_WORKER_INSTANCE_IDS",
        about: "workers' EC2 instances that may be started, the preferred first; unset: none is",
        allowed: `up to ${MOST_INSTANCES} ids such as i-0f52f9d89481385a8, separated by commas`,
      } satisfies Setting,
    }),
  ec2Region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$/)
    .default("ap-northeast-2")
    .meta({
      setting: {
        env: "EC2_REGION",
        about: "where these instances are",
        allowed: "an AWS region such as ap-northeast-2",
        fallback: "ap-northeast-2",
      } satisfies Setting,
    }),
  ec2Endpoint: z
    .string()
    .refine((text) => /^https?:\/\/[^\s/]/i.test(text) && URL.canParse(text))
    .optional()
    .meta({
      setting: {
        env: "EC2_ENDPOINT",
        about: "another address than AWS's own for EC2: a VPC endpoint, or a stand-in for tests",
        allowed: "http://HOST:PORT or https://HOST",
      } satisfies Setting,
    }),
  ec2MaxStarts: whole("EC2_MAX_STARTS", 1, 0, 100, "instances on their way at once, over all brokers; 0: only by hand"),
  ec2CoolDownMs: whole("EC2_COOL_DOWN_MS", 300_000, 0, DAY, "after a start, until the loop starts that instance again"),
  ec2DryRun: flag("EC2_DRY_RUN", false, "only log which instance would be started, and why"),
  ec2BootMs: whole("EC2_BOOT_MS", 90_000, 1, DAY, "from a start until the worker connects, until that has been seen"),
  ec2JobMs: whole("EC2_JOB_MS", 10_000, 1, DAY, "how long a job takes, for types of which none has been done lately"),
};
