/**
 * Writes down each call and frame that a process sends and gets by @grpc/grpc-js, each try by itself, before the SDK
 * sees it. Loaded with `--import` before the player, and so also by the SDK's heartbeat thread, which has a file of its
 * own. FAULTS_RECORD says where to.
 */
import { isMainThread } from "node:worker_threads";
import { Client, type ServiceError } from "@grpc/grpc-js";
import { openRecorder, type Recorder } from "../history/record.ts";
import { StreamRecord } from "./stream-record.ts";
import { saysNothingHappened, wordsOf } from "./wire.ts";

/** In FAULTS_RECORD, as JSON. */
export interface RecordTo {
  folder: string;
  name: string;
}

/** The player's own recorder, for what does not go over gRPC. */
export const recorder: Recorder = open();

function open(): Recorder {
  const { folder, name } = JSON.parse(process.env["FAULTS_RECORD"] ?? "") as RecordTo;
  const own = isMainThread ? name : `${name}-beats`;
  return openRecorder(`${folder}/${own}.jsonl`, own);
}

type Callback = (error: ServiceError | null, answer?: unknown) => void;

const { makeUnaryRequest, makeBidiStreamRequest } = Client.prototype as unknown as Record<
  "makeUnaryRequest" | "makeBidiStreamRequest",
  (...args: unknown[]) => Parameters<StreamRecord["follow"]>[0]
>;

Object.assign(Client.prototype, {
  makeUnaryRequest(this: Client, path: string, ...rest: unknown[]) {
    const words = wordsOf(path);
    const request = rest[2] as never;
    const callback = rest.at(-1) as Callback;
    if (words === undefined) return makeUnaryRequest.call(this, path, ...rest);
    const call = recorder.invoke(words.op, words.asked(request));
    const told: Callback = (error, answer) => {
      if (error === null && answer !== undefined) call.ok(words.answered(answer as never, request));
      else if (error !== null && saysNothingHappened(error)) call.fail(error.message);
      else call.unknown(error?.message ?? "no answer");
      callback(error, answer);
    };
    return makeUnaryRequest.call(this, path, ...rest.slice(0, -1), told);
  },
  makeBidiStreamRequest(this: Client, path: string, ...rest: unknown[]) {
    const call = makeBidiStreamRequest.call(this, path, ...rest);
    new StreamRecord(recorder).follow(call);
    return call;
  },
});
