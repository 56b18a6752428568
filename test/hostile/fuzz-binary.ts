/** Messages as protobuf's bytes, by their descriptors: field by field, and with every lie that a field's head can tell. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";
import { integer, isText, type Known, someFields, textFor } from "./fuzz-values.ts";

const WIRE = { varint: 0, fixed64: 1, bytes: 2, group: 3, groupEnd: 4, fixed32: 5 } as const;

/** The bytes of a request. */
export function binaryRequest(message: DescMessage, known: Known): fc.Arbitrary<Buffer> {
  const whole = messageBytes(message, known);
  return fc.oneof(
    { arbitrary: whole, weight: 12 },
    // Cut off anywhere, and with one byte turned.
    {
      arbitrary: fc.tuple(whole, fc.nat()).map(([bytes, at]) => bytes.subarray(0, at % (bytes.length + 1))),
      weight: 1,
    },
    {
      arbitrary: fc.tuple(whole, fc.nat(), fc.nat(255)).map(([bytes, at, mask]) => turned(bytes, at, mask)),
      weight: 1,
    },
    { arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)), weight: 1 },
  );
}

function turned(bytes: Buffer, at: number, mask: number): Buffer {
  if (bytes.length === 0) return bytes;
  const copy = Buffer.from(bytes);
  copy[at % copy.length] = (copy[at % copy.length] as number) ^ mask;
  return copy;
}

function messageBytes(message: DescMessage, known: Known, depth = 0): fc.Arbitrary<Buffer> {
  const parts = someFields(message, known, "binary").chain((fields) =>
    fc.tuple(
      ...fields.map((field) => {
        const one = fieldBytes(field, known, depth);
        return field.fieldKind === "list" ? fc.array(one, { maxLength: 3 }).map((all) => Buffer.concat(all)) : one;
      }),
    ),
  );
  const more = fc.oneof({ arbitrary: fc.constant(Buffer.alloc(0)), weight: 20 }, { arbitrary: oddField, weight: 2 });
  return fc.tuple(parts, more).map(([all, rest]) => Buffer.concat([...all, rest]));
}

function fieldBytes(field: DescField, known: Known, depth: number): fc.Arbitrary<Buffer> {
  return fc.oneof(
    { arbitrary: fittingBytes(field, known, depth), weight: 40 },
    { arbitrary: wrongBytes(field.number), weight: 1 },
  );
}

function fittingBytes(field: DescField, known: Known, depth: number): fc.Arbitrary<Buffer> {
  const { number } = field;
  if (field.fieldKind === "map") {
    return fc.tuple(fc.constantFrom("ocr", "fuzz", "__proto__", ""), integer).map(([key, value]) => {
      const entry = Buffer.concat([bytesField(1, Buffer.from(key)), varintField(2, value)]);
      return bytesField(number, entry);
    });
  }
  if (field.message !== undefined) {
    if (depth > 4) return fc.constant(bytesField(number, Buffer.alloc(0)));
    return messageBytes(field.message, known, depth + 1).map((bytes) => bytesField(number, bytes));
  }
  if (isText(field)) return textFor(field, known).map((text) => bytesField(number, wtf8(text)));
  if (field.scalar === ScalarType.BYTES)
    return fc.uint8Array({ maxLength: 9 }).map((bytes) => bytesField(number, Buffer.from(bytes)));
  return integer.map((value) => varintField(number, value));
}

/** A field of this number in a form that it does not have. */
function wrongBytes(number: number): fc.Arbitrary<Buffer> {
  return fc.oneof(
    integer.map((value) => varintField(number, value)),
    fc.constantFrom(
      tag(number, WIRE.fixed64),
      Buffer.concat([tag(number, WIRE.fixed64), Buffer.alloc(8, 0xff)]),
      Buffer.concat([tag(number, WIRE.fixed32), Buffer.alloc(4, 0x7f)]),
      tag(number, WIRE.group),
      Buffer.concat(Array.from({ length: 200 }, () => tag(number, WIRE.group))),
      Buffer.concat([tag(number, WIRE.group), tag(number + 1, WIRE.groupEnd)]),
      tag(number, WIRE.groupEnd),
      tag(number, 6),
      tag(number, 7),
      Buffer.concat([tag(number, WIRE.bytes), varint(2n ** 31n)]),
      Buffer.concat([tag(number, WIRE.bytes), varint(2n ** 64n - 1n)]),
      Buffer.concat([tag(number, WIRE.bytes), varint(100n), Buffer.alloc(3)]),
      Buffer.concat([tag(number, WIRE.varint), Buffer.alloc(11, 0xff)]),
      bytesField(number, Buffer.from([0xff, 0xfe, 0xc0, 0x80])),
    ),
  );
}

/** Of a number that the message may not have, 0 and the largest among them. */
const oddField: fc.Arbitrary<Buffer> = fc.constantFrom(0, 15, 99, 1_000, 19_000, 536_870_911).chain(wrongBytes);

/** As a client writes it that does not look at pairs: half of one gets bytes of its own. */
function wtf8(text: string): Buffer {
  return Buffer.concat(
    [...text].map((char) => {
      const code = char.codePointAt(0) as number;
      if (code < 0xd800 || code > 0xdfff) return Buffer.from(char);
      return Buffer.from([0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]);
    }),
  );
}

function varintField(number: number, value: bigint): Buffer {
  return Buffer.concat([tag(number, WIRE.varint), varint(BigInt.asUintN(64, value))]);
}

function bytesField(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([tag(number, WIRE.bytes), varint(BigInt(bytes.length)), bytes]);
}

function tag(number: number, wire: number): Buffer {
  return varint((BigInt(number) << 3n) | BigInt(wire));
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}
