/** Reads a PNG as rows of grey: 8 bits a sample, grey, RGB or RGBA, not interlaced. Enough for the sheets. */
import { inflateSync } from "node:zlib";

export interface GreyImage {
  width: number;
  height: number;
  /** One byte a pixel, row by row; 0 is black. */
  pixels: Uint8Array;
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Samples of a pixel by PNG colour type. */
const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 6: 4 };

/** Throws an Error that says what is unusual about the file. */
export function decodePng(file: Buffer): GreyImage {
  if (!file.subarray(0, 8).equals(SIGNATURE)) throw new Error("this is not a PNG image");
  let header = Buffer.alloc(13);
  const data: Buffer[] = [];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = file.readUInt32BE(at);
    const name = file.toString("latin1", at + 4, at + 8);
    const body = file.subarray(at + 8, at + 8 + length);
    if (name === "IHDR") header = Buffer.from(body);
    if (name === "IDAT") data.push(body);
    at += 12 + length;
  }
  const width = header.readUInt32BE(0);
  const height = header.readUInt32BE(4);
  const samples = SAMPLES[header[9] ?? -1];
  if (header[8] !== 8 || samples === undefined || header[12] !== 0) {
    throw new Error("only PNG images with 8-bit grey, RGB or RGBA samples and no interlacing can be read here");
  }
  return {
    width,
    height,
    pixels: toGrey(unfilter(inflateSync(Buffer.concat(data)), width * samples, height, samples), samples),
  };
}

/** Undoes the prediction that each row is stored with. */
function unfilter(raw: Buffer, stride: number, height: number, samples: number): Uint8Array {
  const out = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const here = y * stride + x;
      const left = x >= samples ? (out[here - samples] ?? 0) : 0;
      const up = y > 0 ? (out[here - stride] ?? 0) : 0;
      const corner = x >= samples && y > 0 ? (out[here - stride - samples] ?? 0) : 0;
      out[here] = (raw[y * (stride + 1) + 1 + x] ?? 0) + predict(filter ?? 0, left, up, corner);
    }
  }
  return out;
}

function predict(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function toGrey(bytes: Uint8Array, samples: number): Uint8Array {
  if (samples === 1) return bytes;
  const grey = new Uint8Array(bytes.length / samples);
  for (let i = 0; i < grey.length; i++) {
    const at = i * samples;
    grey[i] = ((bytes[at] ?? 0) * 77 + (bytes[at + 1] ?? 0) * 150 + (bytes[at + 2] ?? 0) * 29) >> 8;
  }
  return grey;
}
