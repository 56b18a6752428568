/** All services of the port: ours, health and reflection. */
import type { ConnectRouter } from "@connectrpc/connect";
import { AdminService } from "../gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createAdminService } from "./admin-service.ts";
import { createHealth } from "./health.ts";
import { createJobService } from "./job-service.ts";
import { createReflection } from "./reflection.ts";
import type { ServiceContext } from "./service-context.ts";
import { createWorkerService } from "./worker-service.ts";

export interface Routes {
  register: (router: ConnectRouter) => void;
  /** Switches health, for the server as a whole and for each of our services. */
  setServing: (serving: boolean) => void;
}

/** Makes each service once; health answers NOT_SERVING until the first setServing(true). */
export function createRoutes(ctx: ServiceContext): Routes {
  const health = createHealth([WorkerService.typeName, JobService.typeName, AdminService.typeName]);
  const listed = [WorkerService, JobService, AdminService, Health, ServerReflection, ServerReflectionAlpha];
  const reflection = createReflection(listed);
  return {
    setServing: health.set,
    register: (router) =>
      void router
        .service(WorkerService, createWorkerService(ctx))
        .service(JobService, createJobService(ctx))
        .service(AdminService, createAdminService(ctx))
        .service(Health, health.service)
        .service(ServerReflection, reflection.v1)
        .service(ServerReflectionAlpha, reflection.v1alpha),
  };
}
