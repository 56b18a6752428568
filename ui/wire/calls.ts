/** The broker's services, called at the place that this page came from. */
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { currentToken } from "./token.ts";

/** Where the broker is, for people: the part before /ui/, with the prefix that a proxy may have put there. */
export const brokerUrl = new URL("..", document.baseURI).href.replace(/\/$/, "");

const withToken: Interceptor = (next) => (req) => {
  // A header that signing in has set is the token that is being tried.
  if (!req.header.has("x-worker-token")) req.header.set("x-worker-token", currentToken());
  return next(req);
};

const transport = createConnectTransport({ baseUrl: brokerUrl, useBinaryFormat: true, interceptors: [withToken] });

export const jobs = createClient(JobService, transport);
export const admin = createClient(AdminService, transport);
