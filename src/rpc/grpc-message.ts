/** The one message of a unary gRPC request, out of its envelope: a byte of flags, four of length, and so many more. */
import type { Http2ServerRequest } from "node:http2";
import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Count, crowded, partCount } from "./crowded.ts";

const HEAD = 5;
const COMPRESSED = 1;

/**
 * Resolves with the message's bytes when the request has ended. Rejects with the ConnectError that its sender is told: too
 * large or of too many parts (as soon as that is known, the rest is not read), cut short, packed, none or more than one. It
 * never resolves where the client leaves: its call is over then.
 */
export function readMessage(req: Http2ServerRequest, desc: DescMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const body = new Body();
    let length: number | undefined;
    let parts: Parts | undefined;
    const refuse = (error: ConnectError) => {
      req.off("data", take).pause();
      reject(error);
    };
    const take = (chunk: Buffer) => {
      body.add(chunk);
      const { bytes } = body;
      if (length === undefined && bytes.byteLength >= HEAD) {
        length = bytes.readUInt32BE(1);
        if (length > maxBytes) return refuse(tooLarge(length, maxBytes));
        if ((bytes.readUInt8(0) & COMPRESSED) !== 0) return refuse(packed());
        const count = partCount(length, desc);
        if (count !== undefined) parts = new Parts(count);
      }
      if (length !== undefined && bytes.byteLength > HEAD + length) return refuse(extra());
      if (parts?.areTooMany(bytes, LUMP)) refuse(crowded());
    };
    req.on("data", take);
    req.once("error", () => undefined);
    req.once("end", () => {
      const { bytes } = body;
      if (bytes.byteLength === 0) return reject(missing());
      if (length === undefined || bytes.byteLength < HEAD + length) return reject(cutShort());
      if (parts?.areTooMany(bytes, 0)) reject(crowded());
      else resolve(bytes.subarray(HEAD));
    });
  });
}

/** A message that comes byte by byte is looked at once in so many of them. */
const LUMP = 16 * 1024;

/** The parts of a message as it comes: one of too many need not be here whole. */
class Parts {
  readonly #count: Count;
  #counted = HEAD;

  constructor(count: Count) {
    this.#count = count;
  }

  /** Looks at what has come behind what it has seen, where that is more than `atLeast`. */
  areTooMany(bytes: Uint8Array, atLeast: number): boolean {
    if (bytes.byteLength - this.#counted <= atLeast) return false;
    const news = bytes.subarray(this.#counted);
    this.#counted = bytes.byteLength;
    return this.#count.add(news);
  }
}

const LEAST_ROOM = 16 * 1024;

/** Most messages come in one piece; one that comes byte by byte must not cost an object for each. */
class Body {
  bytes: Buffer = Buffer.alloc(0);
  #room: Buffer | undefined;

  add(chunk: Buffer): void {
    const before = this.bytes.byteLength;
    if (before === 0) {
      this.bytes = chunk;
      return;
    }
    const after = before + chunk.byteLength;
    if (this.#room === undefined || this.#room.byteLength < after) {
      this.#room = Buffer.allocUnsafeSlow(Math.max(LEAST_ROOM, 2 * after));
      this.bytes.copy(this.#room);
    }
    chunk.copy(this.#room, before);
    this.bytes = this.#room.subarray(0, after);
  }
}

// In Connect's words, since the same mistake may come its way.
const tooLarge = (bytes: number, max: number) =>
  new ConnectError(`message size ${bytes} is larger than configured readMaxBytes ${max}`, Code.ResourceExhausted);
const packed = () => new ConnectError("received compressed envelope, but do not know how to decompress", Code.Internal);
const extra = () =>
  new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
const missing = () => new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
const cutShort = () => new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
