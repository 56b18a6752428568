/** A Work stream over grpc-js whose connection breaks in a way that grpc-js has no status for. */
import { Client } from "@grpc/grpc-js";
import { expect, onTestFinished, test, vi } from "vitest";
import type { BrokerError } from "../../src/client/broker-error.ts";
import { grpcJsLink } from "../../src/client/grpc-js-link.ts";

test("a stream that is cut by an error without a status ends with its words, and the process goes on", async () => {
  const opened = vi.spyOn(Client.prototype, "makeBidiStreamRequest");
  const link = grpcJsLink({ url: "http://127.0.0.1:9", token: "token", transport: "grpc-js" });
  onTestFinished(() => {
    opened.mockRestore();
    link.close();
  });
  const ended = new Promise<BrokerError | undefined>((resolve) => {
    link.openWork({ onMessage: () => undefined, onEnd: resolve });
  });
  // As node's streams do it: an error of a socket has no status, no details and no metadata.
  opened.mock.results[0]?.value.destroy(new Error("write EPIPE"));
  expect(await ended).toMatchObject({ code: "UNKNOWN", message: expect.stringContaining("write EPIPE") });
});
