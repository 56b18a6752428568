/** Answers to requests that reach no handler. RPC clients read the code and message too (Connect's error form). */
import type { AnyRequest, AnyResponse } from "./connections.ts";

export interface Served {
  /** Full names. */
  services: readonly string[];
  /** Paths of the REST side. */
  rest: readonly string[];
}

/** Nothing is served at this path: 404, or gRPC's UNIMPLEMENTED, with a list of what is. */
export function refuseUnknown(req: AnyRequest, res: AnyResponse, served: Served): void {
  const path = (req.url ?? "").split("?", 1)[0] ?? "";
  const message = `nothing is served at ${req.method ?? ""} ${path.slice(0, 200)}`;
  const type = req.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc")) {
    const text = `${message}; the services here are ${served.services.join(", ")}`;
    write(res, 200, {
      "content-type": type,
      "grpc-status": "12",
      "grpc-message": encodeURIComponent(text.toWellFormed()),
    });
    res.end();
    return;
  }
  const hint = "RPCs: POST /<service>/<method>; their methods: grpcurl -plaintext HOST:PORT describe <service>";
  refuseBody(res, 404, { code: "unimplemented", message, services: served.services, rest: served.rest, hint });
}

/** REST while the server stops; the legacy worker's next poll finds its successor. */
export function refuseDraining(res: AnyResponse): void {
  res.setHeader("retry-after", "1");
  refuseBody(res, 503, {
    code: "unavailable",
    detail: "the broker is shutting down; try again",
    reason: "SHUTTING_DOWN",
  });
}

/** A fault of ours, which is in the log. */
export function refuseFault(res: AnyResponse): void {
  if (res.headersSent) return void res.destroy();
  refuseBody(res, 500, { code: "internal", detail: "a fault inside the broker; it is in the broker's log" });
}

/** An answer in JSON. */
export function refuseBody(res: AnyResponse, status: number, body: object): void {
  write(res, status, { "content-type": "application/json" });
  res.end(`${JSON.stringify(body)}\n`);
}

// The two classes have writeHead in incompatible overloads.
function write(res: AnyResponse, status: number, headers: Record<string, string>): void {
  res.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
}
