/** A broker within a program of yours: `createBroker`, with handlers that are told of what happens to jobs. */
export type { EventKind } from "../job/events.ts";
export type { Status } from "../job/status.ts";
export type { BrokerEvent } from "../webhooks/handlers.ts";
export {
  createBroker,
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
  type OnEvent,
  type OnOptions,
} from "./create-broker.ts";
