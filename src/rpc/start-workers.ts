/** AdminService.StartWorkers: the ids as they may be, and the answers in the words of the protos. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { badField } from "../errors.ts";
import { StartStatus, type StartWorkersResultSchema } from "../gen/aibroker/v1/admin_service_pb.ts";
import type { StartResult, StartStatus as Status } from "../job/ec2-states.ts";
import type { ServiceContext } from "./service-context.ts";
import { shown } from "./validate.ts";

const MOST_INSTANCES = 100;

const STATUSES: Record<Status, StartStatus> = {
  STARTED: StartStatus.STARTED,
  RUNNING: StartStatus.RUNNING,
  IN_PROGRESS: StartStatus.IN_PROGRESS,
  STOPPING: StartStatus.STOPPING,
  NOT_FOUND: StartStatus.NOT_FOUND,
  NO_CAPACITY: StartStatus.NO_CAPACITY,
  THROTTLED: StartStatus.THROTTLED,
  DENIED: StartStatus.DENIED,
  DRY_RUN: StartStatus.DRY_RUN,
  FAILED: StartStatus.FAILED,
};

/** Starts them; throws BAD_FIELD before anything is started where an id cannot be one. */
export async function startWorkers(
  ctx: ServiceContext,
  ids: readonly string[],
): Promise<MessageInitShape<typeof StartWorkersResultSchema>[]> {
  if (ids.length > MOST_INSTANCES) {
    throw badField("instance_ids", `must hold at most ${MOST_INSTANCES} ids, got ${ids.length}: ask in parts`);
  }
  for (const [index, id] of ids.entries()) {
    if (/^i-[0-9a-f]{8,17}$/.test(id)) continue;
    throw badField(`instance_ids[${index}]`, `must be an instance's id such as i-0f52f9d89481385a8, got ${shown(id)}`);
  }
  const results: StartResult[] = (await ctx.startWorkers?.(ids)) ?? [];
  return results.map((result) => ({ ...result, status: STATUSES[result.status] }));
}
