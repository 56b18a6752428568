import { create, createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { Code, createClient, createRouterTransport, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createReflection } from "../../src/rpc/reflection.ts";
import { fakeServer, SERVICES } from "../support/fake-services.ts";

type Question =
  | { case: "listServices" | "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType"; value: string }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
  | { case: undefined };

/** Asks over one stream, in order; files come back as their descriptors. */
async function ask(transport: Transport, service: typeof ServerReflection, questions: Question[]) {
  async function* requests() {
    for (const messageRequest of questions) yield { host: "h", messageRequest: messageRequest as never };
  }
  const answers = [];
  for await (const reply of createClient(service, transport).serverReflectionInfo(requests())) {
    expect(reply).toMatchObject({ validHost: "h", originalRequest: { host: "h" } });
    const { messageResponse: said } = reply;
    const files =
      said.case === "fileDescriptorResponse"
        ? said.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
        : [];
    answers.push({ kind: said.case, value: said.value as never as Record<string, unknown>, files });
  }
  return answers;
}

const versions = { v1: ServerReflection, v1alpha: ServerReflectionAlpha as never as typeof ServerReflection };
const transportOf = (services: readonly DescService[]) =>
  createRouterTransport((router) => {
    const reflection = createReflection(services);
    router.service(ServerReflection, reflection.v1);
    router.service(ServerReflectionAlpha, reflection.v1alpha);
  });

/** Fails unless every import of every file is among the files, the first one being the file asked for. */
function expectWhole(files: FileDescriptorProto[], first: string) {
  expect(files[0]?.name).toBe(first);
  const names = files.map((file) => file.name);
  expect(new Set(names).size).toBe(names.length);
  for (const file of files) expect(names).toEqual(expect.arrayContaining(file.dependency));
}

for (const [version, service] of Object.entries(versions)) {
  test(`${version} lists all services, its own included`, async () => {
    const [answer] = await ask(transportOf(SERVICES), service, [{ case: "listServices", value: "" }]);
    expect(answer?.value).toMatchObject({
      service: [
        { name: "aibroker.v1.AdminService" },
        { name: "aibroker.v1.JobService" },
        { name: "aibroker.v1.WorkerService" },
        { name: "grpc.health.v1.Health" },
        { name: "grpc.reflection.v1.ServerReflection" },
        { name: "grpc.reflection.v1alpha.ServerReflection" },
      ],
    });
  });

  test(`${version} finds every kind of symbol, and sends its file with all that it imports`, async () => {
    const symbols = {
      "aibroker.v1.WorkerService": "aibroker/v1/worker_service.proto",
      ".aibroker.v1.WorkerService": "aibroker/v1/worker_service.proto",
      "aibroker.v1.WorkerService.Claim": "aibroker/v1/worker_service.proto",
      "aibroker.v1.ClaimRequest": "aibroker/v1/worker_service.proto",
      "aibroker.v1.ClaimRequest.worker_id": "aibroker/v1/worker_service.proto",
      "aibroker.v1.LeaseVerdict": "aibroker/v1/worker_service.proto",
      "aibroker.v1.LEASE_VERDICT_LOST": "aibroker/v1/worker_service.proto",
      "aibroker.v1.LeaseVerdict.LEASE_VERDICT_LOST": "aibroker/v1/worker_service.proto",
      "aibroker.v1.AIJob": "aibroker/v1/job.proto",
      "grpc.health.v1.HealthCheckResponse.ServingStatus": "grpc/health/v1/health.proto",
      "grpc.health.v1.HealthCheckResponse.SERVING": "grpc/health/v1/health.proto",
      "grpc.reflection.v1.ServerReflectionRequest.message_request": "grpc/reflection/v1/reflection.proto",
      "google.protobuf.Timestamp": "google/protobuf/timestamp.proto",
      "google.rpc.ErrorInfo": "google/rpc/error_details.proto",
    };
    const questions = Object.keys(symbols).map((value) => ({ case: "fileContainingSymbol" as const, value }));
    const answers = await ask(transportOf(SERVICES), service, questions);
    expect(answers).toHaveLength(questions.length);
    Object.values(symbols).forEach((file, i) => {
      expectWhole(answers[i]?.files ?? [], file);
    });
  });

  test(`${version} sends a file by its name; what it does not know is an error inside the stream`, async () => {
    const answers = await ask(transportOf(SERVICES), service, [
      { case: "fileByFilename", value: "nope.proto" },
      { case: "fileContainingSymbol", value: "aibroker.v1.Nope" },
      { case: "fileContainingExtension", value: { containingType: "aibroker.v1.AIJob", extensionNumber: 7 } },
      { case: "allExtensionNumbersOfType", value: "aibroker.v1.Nope" },
      { case: undefined },
      { case: "allExtensionNumbersOfType", value: "aibroker.v1.AIJob" },
      { case: "fileByFilename", value: "aibroker/v1/job_service.proto" },
    ]);
    const missing = { kind: "errorResponse", value: { errorCode: Code.NotFound } };
    expect(answers.slice(0, 4)).toMatchObject([missing, missing, missing, missing]);
    expect(answers[4]).toMatchObject({ kind: "errorResponse", value: { errorCode: Code.InvalidArgument } });
    expect(answers[5]?.value).toMatchObject({ baseTypeName: "aibroker.v1.AIJob", extensionNumber: [] });
    expectWhole(answers[6]?.files ?? [], "aibroker/v1/job_service.proto");
  });

  test(`${version} knows extensions, top-level and nested`, async () => {
    const answers = await ask(transportOf([extended()]), service, [
      { case: "allExtensionNumbersOfType", value: "x.Base" },
      { case: "fileContainingExtension", value: { containingType: "x.Base", extensionNumber: 101 } },
      { case: "fileContainingExtension", value: { containingType: ".x.Base", extensionNumber: 100 } },
      { case: "fileContainingExtension", value: { containingType: "x.Base", extensionNumber: 102 } },
      { case: "fileContainingSymbol", value: "x.top" },
      { case: "fileContainingSymbol", value: "x.Holder.nested" },
    ]);
    expect(answers[0]?.value).toMatchObject({ baseTypeName: "x.Base", extensionNumber: [100, 101] });
    for (const i of [1, 2, 4, 5]) expectWhole(answers[i]?.files ?? [], "x.proto");
    expect(answers[3]?.kind).toBe("errorResponse");
  });
}

test("an open reflection stream ends when the server drains", async () => {
  await using server = await fakeServer();
  const idle = Promise.withResolvers<never>();
  async function* requests() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
    await idle.promise;
  }
  const client = createClient(ServerReflection, createGrpcTransport({ baseUrl: server.url }));
  const stream = client.serverReflectionInfo(requests())[Symbol.asyncIterator]();
  await stream.next();
  server.drain();
  expect(await stream.next()).toMatchObject({ done: true });
});

/** A service whose file declares two extensions of x.Base, one of them inside a message. */
function extended(): DescService {
  const extension = (name: string, number: number) => ({
    name,
    number,
    extendee: ".x.Base",
    type: Type.STRING,
    label: Label.OPTIONAL,
  });
  const file = {
    name: "x.proto",
    package: "x",
    syntax: "proto2",
    messageType: [
      { name: "Base", extensionRange: [{ start: 100, end: 200 }] },
      { name: "Holder", extension: [extension("nested", 101)] },
    ],
    extension: [extension("top", 100)],
    service: [{ name: "S", method: [{ name: "M", inputType: ".x.Base", outputType: ".x.Base" }] }],
  };
  const service = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })).getService("x.S");
  if (service === undefined) throw new Error("the test's own file has no service");
  return service;
}
