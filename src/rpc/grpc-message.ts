/** The one message of a unary gRPC request, out of its envelope: a byte of flags, four of length, and so many more. */
import type { Http2ServerRequest } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

const HEAD = 5;
const COMPRESSED = 1;

/**
 * Resolves with the message's bytes when the request has ended. Rejects with the ConnectError that its sender is told: too
 * large (as soon as it says so, the rest is not read), cut short, packed, none or more than one. It never resolves where
 * the client leaves: its call is over then.
 */
export function readMessage(req: Http2ServerRequest, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let read = 0;
    let length: number | undefined;
    const refuse = (error: ConnectError) => {
      req.off("data", take).pause();
      reject(error);
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      read += chunk.byteLength;
      if (length === undefined && read >= HEAD) {
        const head = join(chunks, read);
        const flags = head.readUInt8(0);
        length = head.readUInt32BE(1);
        if (length > maxBytes) refuse(tooLarge(length, maxBytes));
        else if ((flags & COMPRESSED) !== 0) refuse(packed());
      }
      if (length !== undefined && read > HEAD + length) refuse(extra());
    };
    req.on("data", take);
    req.once("error", () => undefined);
    req.once("end", () => {
      if (read === 0) reject(missing());
      else if (length === undefined || read < HEAD + length) reject(cutShort());
      else resolve(join(chunks, read).subarray(HEAD));
    });
  });
}

/** Most messages come in one piece. */
function join(chunks: Buffer[], bytes: number): Buffer {
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes);
}

// In Connect's words, since the same mistake may come its way.
const tooLarge = (bytes: number, max: number) =>
  new ConnectError(`message size ${bytes} is larger than configured readMaxBytes ${max}`, Code.ResourceExhausted);
const packed = () => new ConnectError("received compressed envelope, but do not know how to decompress", Code.Internal);
const extra = () =>
  new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
const missing = () => new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
const cutShort = () => new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
