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
    const body = new Body();
    let length: number | undefined;
    const refuse = (error: ConnectError) => {
      req.off("data", take).pause();
      reject(error);
    };
    const take = (chunk: Buffer) => {
      body.add(chunk);
      const { bytes } = body;
      if (length === undefined && bytes.byteLength >= HEAD) {
        length = bytes.readUInt32BE(1);
        if (length > maxBytes) refuse(tooLarge(length, maxBytes));
        else if ((bytes.readUInt8(0) & COMPRESSED) !== 0) refuse(packed());
      }
      if (length !== undefined && bytes.byteLength > HEAD + length) refuse(extra());
    };
    req.on("data", take);
    req.once("error", () => undefined);
    req.once("end", () => {
      const { bytes } = body;
      if (bytes.byteLength === 0) return reject(missing());
      if (length === undefined || bytes.byteLength < HEAD + length) return reject(cutShort());
      const message = bytes.subarray(HEAD);
      if (isCrowded(message)) reject(crowded());
      else resolve(message);
    });
  });
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

/** Fields that a message may have at its top; the largest that a method takes has some thousand. */
const MOST_FIELDS = 50_000;
const WIRE = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;

/**
 * Whether a message has so many fields that to read it would hold up everybody: 30 MiB of empty items took 13 s and 1.5 GB.
 * What cannot be read is left to the reader, which says so.
 */
export function isCrowded(bytes: Uint8Array): boolean {
  // A field takes a byte at least: most messages need no look.
  if (bytes.length <= MOST_FIELDS) return false;
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; at < bytes.length; shift += 7) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  for (let fields = 0; at < bytes.length; fields++) {
    if (fields === MOST_FIELDS) return true;
    const wire = varint() % 8;
    if (wire === WIRE.varint) varint();
    else if (wire === WIRE.fixed64) at += 8;
    else if (wire === WIRE.fixed32) at += 4;
    else if (wire === WIRE.bytes) {
      const length = varint();
      at += length;
    }
    // Groups are no part of our messages: their tags count, and what is in them.
    else if (wire !== WIRE.startGroup && wire !== WIRE.endGroup) return false;
  }
  return false;
}

// In Connect's words, since the same mistake may come its way.
const tooLarge = (bytes: number, max: number) =>
  new ConnectError(`message size ${bytes} is larger than configured readMaxBytes ${max}`, Code.ResourceExhausted);
const packed = () => new ConnectError("received compressed envelope, but do not know how to decompress", Code.Internal);
const extra = () =>
  new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
const crowded = () =>
  new ConnectError(`the message has more than ${MOST_FIELDS} fields: send fewer items at once`, Code.ResourceExhausted);
const missing = () => new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
const cutShort = () => new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
