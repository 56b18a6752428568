/** @grpc/grpc-js with the generated code of protobuf-es: all that a gRPC client needs besides the .proto files. */

import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, type DescMethodUnary, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";

/** The unary methods of a service as async functions. */
export type Caller<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : never;
};

export interface CallOptions {
  /** How long the call may take; default 10 s. */
  timeoutMs?: number;
}

/** One connection to a broker. */
export interface Connection {
  service<S extends DescService>(service: S): Caller<S>;
  close(): void;
}

/** Connects to `http://HOST:PORT` (HTTP/2 without TLS). The calls reject with grpc-js's ServiceError. */
export function connect(url: string, token: string): Connection {
  const client = new Client(new URL(url).host, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("x-worker-token", token);
  return {
    service: (service) => {
      const calls = service.methods.map((method) => [
        method.localName,
        unary(client, metadata, method as DescMethodUnary),
      ]);
      return Object.fromEntries(calls);
    },
    close: () => client.close(),
  };
}

function unary(client: Client, metadata: Metadata, method: DescMethodUnary) {
  const path = `/${method.parent.typeName}/${method.name}`;
  return (request: MessageInitShape<typeof method.input>, options: CallOptions = {}) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (message: MessageShape<typeof method.input>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        create(method.input, request),
        metadata,
        { deadline: Date.now() + (options.timeoutMs ?? 10_000) },
        (error, answer) => (error ? reject(error) : resolve(answer)),
      );
    });
}

const RETRY_EVERY_MS = 500;

/** Makes a call that may be repeated until the broker, or its database, is there to answer it. */
export async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { code } = error as ServiceError;
      if (code !== status.UNAVAILABLE && code !== status.DEADLINE_EXCEEDED) throw error;
      await sleep(RETRY_EVERY_MS);
    }
  }
}
