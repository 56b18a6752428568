/** The bounds of the transport: what any client, known or not, can make the server hold. */

/** What a client may take of the server, whoever it is. */
export interface ServerLimits {
  /** Until a new connection has said which protocol it speaks, TLS handshake apart. */
  prefaceTimeoutMs: number;
  /** HTTP/1.1: until the headers of a request are here. */
  headersTimeoutMs: number;
  /** HTTP/1.1: until a request is here whole. */
  requestTimeoutMs: number;
  /** HTTP/1.1: how often the two are checked. */
  timeoutCheckMs: number;
  /** HTTP/1.1: how long an idle connection is kept. */
  keepAliveMs: number;
  /** More connections are closed at once. */
  maxConnections: number;
  /** HTTP/2, each connection: calls at a time; more wait in the client. */
  maxConcurrentStreams: number;
  /** HTTP/2, each connection: what it may hold in memory before new calls are refused. */
  maxSessionMemoryMb: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  prefaceTimeoutMs: 10_000,
  headersTimeoutMs: 15_000,
  requestTimeoutMs: 60_000,
  timeoutCheckMs: 5_000,
  keepAliveMs: 65_000,
  // Two for each of as many workers as WORK_MAX_STREAMS lets in, and some for everybody else.
  maxConnections: 24_576,
  maxConcurrentStreams: 1_000,
  maxSessionMemoryMb: 128,
};
