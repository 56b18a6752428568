/** A job on its way to the broker. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { NewJobSchema } from "../gen/aibroker/v1/job_service_pb.ts";
import { newJobId } from "./job-id.ts";
import { jsonObject } from "./json-text.ts";
import { type StandardSchema, validate } from "./standard-schema.ts";

/** What a producer may say of a job beside type and payload. Limits and defaults: proto/aibroker/v1/job.proto. */
export interface DispatchOptions {
  /** 1..64 characters; default: a UUIDv7 made here. */
  id?: string;
  tenantId?: string;
  sourceDomain?: string;
  sourceId?: string;
  /** -1000..1000, the smaller goes first; default 0. */
  priority?: number;
  /** 1..1000; default: the broker's DEFAULT_MAX_ATTEMPTS. */
  maxAttempts?: number;
  /** Not before this time. */
  runAt?: Date;
  /** The same key and body answers with the first job; at most 64 characters. */
  idempotencyKey?: string;
  /** W3C trace context, at most 128 characters; default: that of the dispatch, where OpenTelemetry is set up. */
  traceparent?: string;
}

export interface MadeJob {
  job: MessageInitShape<typeof NewJobSchema> & { id: string };
  /** The id is a fresh one, so whatever job has it is this one. */
  fresh: boolean;
}

/**
 * Validates the payload, where there is a schema, and writes it as JSON. What is sent is what the schema makes of the
 * payload. `freshId` is taken where the options have no id. Rejects with a SchemaError or a TypeError.
 */
export async function newJob(
  type: string,
  payload: unknown,
  options: DispatchOptions,
  schema: StandardSchema | undefined,
  freshId: string = newJobId(),
): Promise<MadeJob> {
  const { id = freshId, runAt, ...rest } = options;
  const value = schema === undefined ? payload : await validate(schema, payload, `the payload of ${type}`);
  const job = {
    ...rest,
    id,
    type,
    payloadJson: jsonObject(value, `the payload of ${type}`),
    ...(runAt === undefined ? {} : { runAt: timestampFromDate(runAt) }),
  };
  return { job, fresh: options.id === undefined };
}
