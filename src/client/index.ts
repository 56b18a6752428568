/**
 * The SDK: `createWorker` for those who do jobs, `createClient` for those who have some to be done. Below them, the
 * services and their messages as made from proto/aibroker/v1, for whoever wants to speak to a broker by themselves: give
 * a service to `createClient` of @connectrpc/connect, with a gRPC, gRPC-Web or Connect transport.
 */
export * from "../gen/aibroker/v1/admin_service_pb.ts";
export * from "../gen/aibroker/v1/job_pb.ts";
export * from "../gen/aibroker/v1/job_service_pb.ts";
export * from "../gen/aibroker/v1/payloads_pb.ts";
export * from "../gen/aibroker/v1/worker_service_pb.ts";
export { BrokerError, type StatusCode } from "./broker-error.ts";
export {
  type CallOptions,
  type CancelOutcome,
  Client,
  type ClientOptions,
  createClient,
  type Dispatched,
  type JobToDispatch,
  type RetryOutcome,
  type SafeOutcome,
  type WaitOptions,
} from "./create-client.ts";
export { createWorker, type Worker } from "./create-worker.ts";
export { Cancelled, Fatal, LeaseLost, RetryIn, SchemaError, Shutdown } from "./failures.ts";
export type { Handler, Job as ReceivedJob, JobContext, TypeEntry, Verdict } from "./handler.ts";
export type { AnyJobTypes, JobType, KnownJobTypes, PayloadJson } from "./job-types.ts";
export type { JobFacts, JobState, JobView } from "./job-view.ts";
export type { TransportName } from "./link.ts";
export type { Logger } from "./logger.ts";
export type { DispatchOptions } from "./new-job.ts";
export type { StandardSchema } from "./standard-schema.ts";
export { type JobOutcome, WaitError } from "./wait-for-end.ts";
export { Watch, type WatchOptions } from "./watch.ts";
export type { JobFilter } from "./watch-frames.ts";
export type { ChangeKind, JobChange, WatchedJobView, WatchUpdate } from "./watch-view.ts";
export type { WorkerOptions, WorkerSettings } from "./worker-options.ts";
