/** HTTP/2 as bytes: each frame by itself, whatever a decent client would think of it. */

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const FLAG = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const;

export const SETTING = { tableSize: 1, maxStreams: 3, window: 4, frameSize: 5, headerList: 6 } as const;

export interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

/** Nine bytes of head and the payload; `length` lies about it where it is given. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = NOTHING,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const NOTHING: Buffer = Buffer.alloc(0);

export function settings(values: Partial<Record<number, number>> = {}): Buffer {
  const entries = Object.entries(values).map(([id, value]) => {
    const entry = Buffer.alloc(6);
    entry.writeUInt16BE(Number(id), 0);
    entry.writeUInt32BE(value as number, 2);
    return entry;
  });
  return frame(TYPE.settings, FLAG.none, 0, Buffer.concat(entries));
}

export const settingsAck = frame(TYPE.settings, FLAG.ack, 0);

export function ping(number: number, flags = 0): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64BE(BigInt(number));
  return frame(TYPE.ping, flags, 0, payload);
}

export function reset(stream: number, code = 8): Buffer {
  return frame(TYPE.reset, FLAG.none, stream, word(code));
}

export function moreWindow(stream: number, bytes: number): Buffer {
  return frame(TYPE.window, FLAG.none, stream, word(bytes));
}

export function data(stream: number, payload: Buffer, end = false): Buffer {
  return frame(TYPE.data, end ? FLAG.endStream : FLAG.none, stream, payload);
}

export type Fields = readonly (readonly [string, string])[];

/** A request's head in one frame. */
export function headers(stream: number, fields: Fields, end = false): Buffer {
  const flags = FLAG.endHeaders | (end ? FLAG.endStream : 0);
  return frame(TYPE.headers, flags, stream, hpack(fields));
}

/** Fields as HPACK writes those that nobody shall remember: literal, without a table and without Huffman's code. */
export function hpack(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** With a prefix of seven bits. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** The head of a gRPC call. */
export function grpcHead(method: string, token: string, more: Fields = []): Fields {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", `/${method}`],
    [":authority", "hostile"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...(token === "" ? [] : [["x-worker-token", token] as const]),
    ...more,
  ];
}

/** gRPC's envelope; `length` and `flags` lie where they are given. */
export function envelope(message: Buffer, length = message.length, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** The frames at the start of the bytes, and how many bytes they take. */
export function parseFrames(bytes: Buffer): { frames: Frame[]; taken: number } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const length = bytes.readUIntBE(at, 3);
    if (bytes.length - at < 9 + length) break;
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return { frames, taken: at };
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
