/** A deadline beyond what a timer can hold (24.8 days) would end its call at once: it is taken for none. */
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";

const LONGEST_MS = 24 * 86_400_000;

/** What a `grpc-timeout` asks for, in ms; undefined: no deadline. Throws the ConnectError of one that cannot be read. */
export function grpcDeadlineMs(sent: string): number | undefined {
  const { timeoutMs, error } = parseTimeout(sent, Number.POSITIVE_INFINITY);
  if (error !== undefined) throw error;
  return timeoutMs === undefined || timeoutMs > LONGEST_MS ? undefined : timeoutMs;
}

/** Takes away what is taken for none; one that cannot be read stays, for Connect to refuse. */
export function capDeadline(header: Headers): void {
  const { timeoutMs = 0 } = parseTimeout(header.get("grpc-timeout"), Number.POSITIVE_INFINITY);
  if (timeoutMs > LONGEST_MS) header.delete("grpc-timeout");
  if (Number(header.get("connect-timeout-ms") ?? 0) > LONGEST_MS) header.delete("connect-timeout-ms");
}
