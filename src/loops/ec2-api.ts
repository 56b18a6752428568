/** The two calls of EC2 that the broker makes: look at instances, start one. It has no way to stop any. */
import type { EC2Client, Instance as Ec2Instance } from "@aws-sdk/client-ec2";
import { type Ec2Trouble, troubleOf } from "../job/ec2-faults.ts";
import type { Instance } from "../job/ec2-states.ts";

export interface Ec2Api {
  /** Those of the instances that EC2 knows. Throws Ec2Fault. */
  describe(ids: readonly string[]): Promise<Map<string, Instance>>;
  /** Resolves when EC2 has said that it starts. Throws Ec2Fault. */
  start(id: string): Promise<void>;
}

export interface Ec2Access {
  region: string;
  /** Another place than AWS's own: a test's. */
  endpoint?: string | undefined;
}

/** A call that failed, with what that means. */
export class Ec2Fault extends Error {
  override readonly name = "Ec2Fault";
  readonly trouble: Ec2Trouble;
  /** EC2's or the SDK's own, for example UnauthorizedOperation. */
  readonly code: string;

  constructor(call: string, { cause }: { cause: unknown }) {
    const { code, words, isAnswer } = readError(cause);
    super(`${call}: ${words} (${code})`, { cause });
    this.code = code;
    this.trouble = troubleOf(code, isAnswer);
  }
}

/** From the start of a call to its end, the search for credentials included. A turn to call lasts much longer. */
const CALL_MS = 15_000;
/** EC2 returns so many at most, whatever it is asked for. */
const MOST_PAGES = 20;

/**
 * Loads the SDK, which takes half a second and 100 MB, so it is done by who needs it and not before. Credentials come by
 * the SDK's own chain.
 */
export async function openEc2({ region, endpoint }: Ec2Access): Promise<Ec2Api> {
  const { EC2Client } = await import("@aws-sdk/client-ec2");
  // One try: the loop is the retry, after it has looked at what the last one did.
  const tries = { maxAttempts: 1, requestHandler: { connectionTimeout: 3_000, requestTimeout: 10_000 } };
  return ec2Api(new EC2Client({ region, ...tries, ...(endpoint === undefined ? {} : { endpoint }) }));
}

/** The calls over a client that is there. */
export function ec2Api(client: EC2Client): Ec2Api {
  return {
    describe: async (ids) => {
      const { DescribeInstancesCommand } = await import("@aws-sdk/client-ec2");
      const found = new Map<string, Instance>();
      // By filter, since one unknown id in InstanceIds makes EC2 refuse the whole call.
      const filters = [{ Name: "instance-id", Values: [...ids] }];
      let next: string | undefined;
      for (let page = 0; page < MOST_PAGES; page++) {
        const command = new DescribeInstancesCommand({ Filters: filters, ...(next && { NextToken: next }) });
        const answer = await called("ec2:DescribeInstances", () => client.send(command, withinTime()));
        const instances = (answer.Reservations ?? []).flatMap(({ Instances }) => Instances ?? []);
        for (const one of instances.map(instanceOf)) found.set(one.id, one);
        next = answer.NextToken;
        if (!next) break;
      }
      return found;
    },
    start: async (id) => {
      const { StartInstancesCommand } = await import("@aws-sdk/client-ec2");
      const command = new StartInstancesCommand({ InstanceIds: [id] });
      await called("ec2:StartInstances", () => client.send(command, withinTime()));
    },
  };
}

function withinTime(): { abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(CALL_MS) };
}

async function called<T>(call: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (err) {
    throw new Ec2Fault(call, { cause: err });
  }
}

function instanceOf({ InstanceId, State, LaunchTime, StateReason }: Ec2Instance): Instance {
  return {
    id: InstanceId ?? "",
    state: State?.Name ?? "",
    launchedAt: LaunchTime ?? null,
    stateReason: StateReason?.Message ?? "",
  };
}

/** The SDK's errors carry EC2's code as their name; those of the network have one of Node's, maybe inside. */
function readError(err: unknown): { code: string; words: string; isAnswer: boolean } {
  if (!(err instanceof Error)) return { code: "unknown", words: "it failed without an error", isAnswer: false };
  const { $metadata, code } = err as { $metadata?: { httpStatusCode?: number }; code?: unknown };
  const status = $metadata?.httpStatusCode ?? 0;
  const inner = err instanceof AggregateError ? (err.errors[0] as Error | undefined) : undefined;
  return {
    code: err.name === "Error" || inner !== undefined ? String(code ?? inner?.name ?? err.name) : err.name,
    words: plain(err.message || inner?.message || "no answer"),
    isAnswer: status >= 400 && status < 500 && status !== 408,
  };
}

/** On one line, without the pages of base64 that EC2 adds to a missing permission. */
function plain(words: string): string {
  return words
    .replace(/Encoded authorization failure message:.*/s, "")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 300);
}
