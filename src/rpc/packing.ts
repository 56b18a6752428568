/** Messages that come packed: how they are unpacked, and that no more is made of them than of any other. */
import { AsyncLocalStorage } from "node:async_hooks";
import { promisify } from "node:util";
import { type BrotliOptions, brotliDecompress, gunzip, type ZlibOptions } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { crowded, type Form, isCrowded } from "./crowded.ts";

/** The form of the messages of the call that is under way, which an unpacker is not told. */
export const formOfCall = new AsyncLocalStorage<Form>();

/** In Node's own pieces of 16 KB a bomb left 150 MB behind, which the allocator does not give back. */
const PIECE_BYTES = 1024 * 1024;

type Unpack = (bytes: Uint8Array, options: ZlibOptions & BrotliOptions) => Promise<Buffer>;

/** All that a client may use. */
export const PACKINGS: Compression[] = [
  packing(compressionGzip, promisify<Uint8Array, ZlibOptions, Buffer>(gunzip)),
  packing(compressionBrotli, promisify<Uint8Array, BrotliOptions, Buffer>(brotliDecompress)),
];

function packing(known: Compression, unpack: Unpack): Compression {
  return {
    ...known,
    async decompress(bytes, maxBytes) {
      if (bytes.length === 0) return new Uint8Array(0);
      const message = await unpack(bytes, { maxOutputLength: maxBytes, chunkSize: PIECE_BYTES }).catch((err) => {
        throw describe(err, maxBytes);
      });
      const form = formOfCall.getStore();
      if (form !== undefined && isCrowded(message, form)) throw crowded();
      return message as Uint8Array as Uint8Array<ArrayBuffer>;
    },
  };
}

// In Connect's words and with its codes.
function describe(err: NodeJS.ErrnoException, maxBytes: number): ConnectError {
  if (err.code === "ERR_BUFFER_TOO_LARGE") {
    const words = `message is larger than configured readMaxBytes ${maxBytes} after decompression`;
    return new ConnectError(words, Code.ResourceExhausted, undefined, undefined, err);
  }
  const isTheirs = /^(Z_DATA_ERROR$|ERR_PADDING_2$|ERR__ERROR_FORMAT_)/.test(err.code ?? "");
  const code = isTheirs ? Code.InvalidArgument : Code.Internal;
  return new ConnectError("decompression failed", code, undefined, undefined, err);
}
