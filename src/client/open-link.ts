/** Makes a link of the transport that was asked for. */
import type { Link, LinkOptions } from "./link.ts";

/** Loads the one library that is needed. A broker that is away is no fault here: the first call tells. */
export async function openLink(options: LinkOptions): Promise<Link> {
  if (options.transport === "connect") return (await import("./connect-link.ts")).connectLink(options);
  return (await import("./grpc-js-link.ts")).grpcJsLink(options);
}
