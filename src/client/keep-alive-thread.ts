/**
 * The thread that keeps a worker's leases alive whatever its handlers do to the event loop. It has a connection of its
 * own and ends with the process. keep-alive.ts is the other side.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type HeartbeatsOptions, type Order, startHeartbeats } from "./heartbeats.ts";

/** What the thread is given to begin with. */
export type ThreadData = HeartbeatsOptions;

const { obey } = startHeartbeats(workerData as ThreadData, (news) => parentPort?.postMessage(news));
parentPort?.on("message", (order: Order) => obey(order));
