/**
 * What a program needs to talk to a broker in TypeScript or JavaScript: the services and their messages, made from
 * proto/aibroker/v1. Give a service to `createClient` of @connectrpc/connect, with a gRPC, gRPC-Web or Connect transport.
 */
export * from "../gen/aibroker/v1/admin_service_pb.ts";
export * from "../gen/aibroker/v1/job_pb.ts";
export * from "../gen/aibroker/v1/job_service_pb.ts";
export * from "../gen/aibroker/v1/payloads_pb.ts";
export * from "../gen/aibroker/v1/worker_service_pb.ts";
