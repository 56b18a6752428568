/** gRPC server reflection, v1 and v1alpha: clients such as grpcurl call every method with no proto file at hand. */
import type { DescFile, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import type {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "../gen/grpc/reflection/v1/reflection_pb.ts";
import type {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionRequest as ServerReflectionRequestAlpha,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { drainSignal } from "./drain.ts";
import { indexSymbols, type Symbols } from "./symbols.ts";

export interface Reflection {
  v1: ServiceImpl<typeof ServerReflection>;
  v1alpha: ServiceImpl<typeof ServerReflectionAlpha>;
}

/** Reflection over these services (list all that the server serves, its own included) and all that they import. */
export function createReflection(services: readonly DescService[]): Reflection {
  // Errors carry these in an Any: with them a client prints an ErrorInfo instead of its bytes.
  const symbols = indexSymbols(services, [file_google_rpc_error_details]);
  // The two versions differ in their package alone.
  const info = (requests: AsyncIterable<AnyRequest>, context: HandlerContext) => replies(symbols, requests, context);
  return {
    v1: { serverReflectionInfo: info },
    v1alpha: { serverReflectionInfo: info as ServiceImpl<typeof ServerReflectionAlpha>["serverReflectionInfo"] },
  };
}

type AnyRequest = ServerReflectionRequest | ServerReflectionRequestAlpha;
type Reply = MessageInitShape<typeof ServerReflectionResponseSchema>;
type Answer = Reply["messageResponse"];

/** One reply for each request, in order, until the client ends the stream or the server drains. */
async function* replies(
  symbols: Symbols,
  requests: AsyncIterable<AnyRequest>,
  context: HandlerContext,
): AsyncGenerator<Reply> {
  const source = requests[Symbol.asyncIterator]();
  const stop = aborted(drainSignal(context.values));
  try {
    for (;;) {
      const next = await Promise.race([source.next(), stop.done]);
      if (next === undefined || next.done === true) return;
      const originalRequest = next.value as ServerReflectionRequest;
      yield {
        validHost: originalRequest.host,
        originalRequest,
        messageResponse: answer(symbols, originalRequest.messageRequest),
      };
    }
  } finally {
    stop.forget();
  }
}

function answer(symbols: Symbols, request: ServerReflectionRequest["messageRequest"]): Answer {
  switch (request.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: symbols.services.map((name) => ({ name })) } };
    case "fileByFilename":
      return files(symbols, symbols.file(request.value), `no file ${request.value}`);
    case "fileContainingSymbol":
      return files(symbols, symbols.fileOf(withoutDot(request.value)), `no symbol ${request.value}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = request.value;
      const file = symbols.fileOfExtension(withoutDot(containingType), extensionNumber);
      return files(symbols, file, `no extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const baseTypeName = withoutDot(request.value);
      const extensionNumber = symbols.extensionNumbers(baseTypeName);
      if (extensionNumber === undefined) return error(Code.NotFound, `no message ${request.value}`);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName, extensionNumber } };
    }
    case undefined:
      return error(Code.InvalidArgument, "the request asks for nothing: set one of message_request");
  }
}

function files(symbols: Symbols, file: DescFile | undefined, missing: string): Answer {
  if (file === undefined) return error(Code.NotFound, `${missing} is known to this server`);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: symbols.withImports(file) } };
}

/** An error of one question, told inside the stream, which stays open. */
function error(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** Fully-qualified names may be written with a leading dot. */
function withoutDot(name: string): string {
  return name.startsWith(".") ? name.slice(1) : name;
}

/** A promise for the abort of a signal, with a way to take the listener off again. */
function aborted(signal: AbortSignal): { done: Promise<undefined>; forget(): void } {
  let onAbort = () => {};
  const done = new Promise<undefined>((resolve) => {
    onAbort = () => resolve(undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  return { done, forget: () => signal.removeEventListener("abort", onAbort) };
}
