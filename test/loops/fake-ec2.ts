/** EC2 as far as the broker sees it, behind the SDK's own client; and brokers that use it, with a clock of their own. */
import {
  DescribeInstancesCommand,
  EC2Client,
  EC2ServiceException,
  type InstanceStateName,
  StartInstancesCommand,
} from "@aws-sdk/client-ec2";
import { mockClient } from "aws-sdk-client-mock";
import pino from "pino";
import { createEc2, type Ec2 } from "../../src/loops/ec2.ts";
import { ec2Api } from "../../src/loops/ec2-api.ts";
import type { Ec2Settings } from "../../src/loops/ec2-context.ts";
import type { Database } from "../../src/store/db.ts";

export const A = "i-0000000a";
export const B = "i-0000000b";
export const C = "i-0000000c";

/** An error as EC2 answers it. */
export function refusal(name: string, message = "no", status = 400): EC2ServiceException {
  return new EC2ServiceException({
    name,
    message,
    $fault: status < 500 ? "client" : "server",
    $metadata: { httpStatusCode: status },
  });
}

export class FakeCloud {
  readonly states = new Map<string, InstanceStateName>();
  /** The ids of each StartInstances that arrived, in order. */
  readonly starts: string[] = [];
  describes = 0;
  /** What StartInstances does in place of starting. */
  readonly startFaults = new Map<string, Error>();
  describeFault: Error | undefined;
  /** The answer to a start is lost, though it was made. */
  losesAnswers = false;
  readonly #launches = new Map<string, Date>();
  #launched = Date.parse("2026-01-01T00:00:00Z");

  constructor(...stopped: string[]) {
    for (const id of stopped) {
      this.states.set(id, "stopped");
      this.#launches.set(id, new Date(this.#launched));
    }
  }

  /** As if somebody had started it by the console; `up` at once. */
  launch(id: string, state: "pending" | "running" = "running"): void {
    this.#launched += 1_000;
    this.#launches.set(id, new Date(this.#launched));
    this.states.set(id, state);
  }

  /** A client of the SDK whose calls end here. */
  client(): EC2Client {
    const client = new EC2Client({ region: "ap-northeast-2", credentials: { accessKeyId: "a", secretAccessKey: "b" } });
    const mock = mockClient(client);
    mock.on(DescribeInstancesCommand).callsFake(({ Filters }) => this.#describe(Filters[0].Values));
    mock.on(StartInstancesCommand).callsFake(({ InstanceIds }) => this.#start(InstanceIds[0]));
    return client;
  }

  #describe(ids: string[]) {
    this.describes++;
    if (this.describeFault !== undefined) throw this.describeFault;
    const known = ids.filter((id) => this.states.has(id));
    // One reservation each, as EC2 answers for instances that were made one by one.
    const Instances = known.map((id) => ({
      InstanceId: id,
      State: { Name: this.states.get(id) },
      LaunchTime: this.#launches.get(id),
    }));
    return { Reservations: Instances.map((one) => ({ Instances: [one] })) };
  }

  #start(id: string) {
    const fault = this.startFaults.get(id);
    if (fault !== undefined) throw fault;
    this.starts.push(id);
    if (this.states.get(id) === "stopped") this.launch(id, "pending");
    if (this.losesAnswers) throw new Error("socket hang up");
    return {};
  }
}

export interface FakeBroker extends Ec2 {
  /** One round of the loop; a need must last, so most tests take two. */
  round(): Promise<void>;
  /** Rounds with 11 s between them. */
  rounds(count?: number): Promise<void>;
  pass(ms: number): void;
  /** What was logged, as `level: words`, the newest last. */
  said: string[];
  /** How often the SDK was asked for. */
  opened(): number;
}

export const SETTINGS: Ec2Settings = {
  ec2InstanceIds: [A, B],
  ec2Region: "ap-northeast-2",
  ec2MaxStarts: 1,
  ec2CoolDownMs: 300_000,
  ec2DryRun: false,
  ec2BootMs: 90_000,
  ec2JobMs: 10_000,
};

const LEVELS: Record<number, string> = { 30: "info", 40: "warn", 50: "error" };

/** A broker's starter; settings are those of the configuration. */
export function fakeBroker(
  db: Database,
  cloud: FakeCloud,
  brokerId = "b1",
  more: Partial<Ec2Settings> = {},
): FakeBroker {
  const said: string[] = [];
  const write = (line: string) => {
    const { level, msg } = JSON.parse(line) as { level: number; msg: string };
    said.push(`${LEVELS[level]}: ${msg}`);
  };
  let now = 1_000_000;
  let opened = 0;
  const openApi = async () => {
    opened++;
    return ec2Api(cloud.client());
  };
  const ec2 = createEc2({
    db,
    brokerId,
    log: pino({}, { write }),
    settings: { ...SETTINGS, ...more },
    openApi,
    now: () => now,
  });
  const round = async () => void (await ec2.loops[0]?.once());
  return {
    ...ec2,
    said,
    round,
    opened: () => opened,
    pass: (ms) => {
      now += ms;
    },
    rounds: async (count = 2) => {
      for (let n = 0; n < count; n++) {
        await round();
        now += 11_000;
      }
    },
  };
}

/** Lets time pass for what is written down of the intents. */
export async function ageIntents(db: Database, seconds: number): Promise<void> {
  await db.sql`UPDATE ai_ec2_intent SET call_until = call_until - ${seconds}::float8 * interval '1 second',
    wanted_at = wanted_at - ${seconds}::float8 * interval '1 second',
    started_at = started_at - ${seconds}::float8 * interval '1 second',
    rest_until = rest_until - ${seconds}::float8 * interval '1 second'`;
}

export interface IntentRow {
  id: string;
  source: string;
  started: boolean;
  outcome: string | null;
}

/** How each intent stands, the oldest first. */
export async function intents(db: Database): Promise<IntentRow[]> {
  return await db.sql<IntentRow[]>`SELECT instance_id AS id, source, started_at IS NOT NULL AS started, outcome
    FROM ai_ec2_intent ORDER BY ai_ec2_intent.id`;
}
