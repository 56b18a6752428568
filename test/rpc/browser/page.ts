/** What a page of somebody's application does: it runs in the browser, bundled by the test, and leaves what it saw. */
import { type Client, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { JobService } from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import { ErrorInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";

export interface Seen {
  payload: string | undefined;
  kinds: number[];
  reason: string | undefined;
}

const withToken =
  (token: string): Interceptor =>
  (next) =>
  (req) => {
    req.header.set("x-worker-token", token);
    return next(req);
  };

async function use(jobs: Client<typeof JobService>, id: string): Promise<Seen> {
  const payloadJson = JSON.stringify({ image_path: "한글.png" });
  await jobs.dispatch({ jobs: [{ id, type: "page", payloadJson }] });
  const { job } = await jobs.getJob({ jobId: id });
  const kinds: number[] = [];
  for await (const { frame } of jobs.watchJobs({ jobIds: [id] })) {
    // Once the state is here, so that the change is told and not shown.
    if (frame.case === "state") await jobs.cancelJobs({ jobIds: [id], reason: "seen enough" });
    if (frame.case === "changes") kinds.push(...frame.value.events.map(({ kind }) => kind));
    if (kinds.length > 0) break;
  }
  const refusal = await jobs.getJob({ jobId: `not ${id}` }).then(
    () => undefined,
    (err: unknown) => ConnectError.from(err),
  );
  return { payload: job?.job?.payloadJson, kinds, reason: refusal?.findDetails(ErrorInfoSchema)[0]?.reason };
}

/** By each of the transports that browsers have: what came of it, or the error's text. */
async function run(baseUrl: string, token: string): Promise<Record<string, Seen | string>> {
  const interceptors = [withToken(token)];
  const transports: Record<string, Transport> = {
    connect: createConnectTransport({ baseUrl, interceptors }),
    "connect-binary": createConnectTransport({ baseUrl, interceptors, useBinaryFormat: true }),
    "grpc-web": createGrpcWebTransport({ baseUrl, interceptors }),
  };
  const seen: Record<string, Seen | string> = {};
  for (const [name, transport] of Object.entries(transports)) {
    seen[name] = await use(createClient(JobService, transport), name).catch((err: unknown) => String(err));
  }
  return seen;
}

Object.assign(globalThis, { run });
