/**
 * Messages of so many parts that to read one would hold up everybody: 30 MiB of empty items took 13 s and 1.5 GB, and packed
 * they are 30 KB. They are counted as their bytes pass, and refused before they are read. What cannot be read is left to the
 * reader, which says so.
 */
import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

/** Fields that a message may have, at any depth: the thousand jobs of a Dispatch have some twelve thousand. */
const MOST_FIELDS = 50_000;
/** The same of a JSON text. */
const MOST_VALUES = 100_000;

const WIRE = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;
const ENVELOPE_HEAD = 5;
const PACKED = 1;

/** How a message is written: as JSON, or as the bytes of this one. */
export type Form = "json" | DescMessage;

/** Told of the bytes of one message as they come, it answers whether there are too many parts by now. */
export interface Count {
  add(bytes: Uint8Array): boolean;
}

/** The fields of one message, and of those in it. */
class FieldCount implements Count {
  #fields = 0;
  /** Where we are, and what is between here and the next tag. */
  #at = 0;
  #skip = 0;
  #value = 0;
  #scale = 1;
  #due: "tag" | "number" | "length" | "nothing" = "tag";
  /** What the bytes are whose length is due, if they are a message. */
  #inner: DescMessage | undefined;
  readonly #open: { desc: DescMessage; end: number }[];

  constructor(desc: DescMessage) {
    this.#open = [{ desc, end: Number.POSITIVE_INFINITY }];
  }

  add(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length && this.#due !== "nothing"; ) {
      const step = this.#skip > 0 ? Math.min(this.#skip, bytes.length - at) : 1;
      this.#at += step;
      at += step;
      if (this.#skip > 0) {
        this.#skip -= step;
        continue;
      }
      const byte = bytes[at - 1] as number;
      this.#value += (byte & 0x7f) * this.#scale;
      this.#scale *= 128;
      if (byte < 0x80 && this.#whole()) return true;
    }
    return false;
  }

  /** A varint is here whole. */
  #whole(): boolean {
    const value = this.#value;
    this.#value = 0;
    this.#scale = 1;
    if (this.#due === "tag") return this.#tag(value);
    if (this.#due === "length" && this.#inner !== undefined)
      this.#open.push({ desc: this.#inner, end: this.#at + value });
    else if (this.#due === "length") this.#skip = value;
    this.#due = "tag";
    return false;
  }

  #tag(value: number): boolean {
    while ((this.#open.at(-1)?.end ?? 0) < this.#at) this.#open.pop();
    const wire = value % 8;
    if (wire === WIRE.varint) this.#due = "number";
    else if (wire === WIRE.bytes) {
      const number = Math.floor(value / 8);
      this.#inner = this.#open.at(-1)?.desc.fields.find((field) => field.number === number)?.message;
      this.#due = "length";
    } else if (wire === WIRE.fixed64) this.#skip = 8;
    else if (wire === WIRE.fixed32) this.#skip = 4;
    // Groups are no part of our messages: their tags count, and what is in them.
    else if (wire !== WIRE.startGroup && wire !== WIRE.endGroup) this.#due = "nothing";
    return ++this.#fields > MOST_FIELDS;
  }
}

const [QUOTE, BACKSLASH, COMMA, OPEN_LIST, OPEN_OBJECT] = Buffer.from('"\\,[{') as Iterable<number> as number[];

/** The values of one JSON text: each stands behind one of these, but for the last ones of what is empty. */
class ValueCount implements Count {
  #values = 0;
  #inText = false;
  #isEscaped = false;

  add(bytes: Uint8Array): boolean {
    for (const byte of bytes) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#inText && byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) this.#inText = !this.#inText;
      else if (this.#inText) continue;
      else if ((byte === COMMA || byte === OPEN_LIST || byte === OPEN_OBJECT) && ++this.#values > MOST_VALUES)
        return true;
    }
    return false;
  }
}

const countOf = (form: Form): Count => (form === "json" ? new ValueCount() : new FieldCount(form));

/** The parts of each message in its envelope; packed ones are counted when they are unpacked. */
class EnvelopeCount implements Count {
  readonly #form: Form;
  readonly #head: number[] = [];
  #left = 0;
  #count: Count | undefined;

  constructor(form: Form) {
    this.#form = form;
  }

  add(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      if (this.#left === 0) {
        this.#head.push(bytes[at++] as number);
        if (this.#head.length === ENVELOPE_HEAD) this.#begin(Buffer.from(this.#head.splice(0)));
        continue;
      }
      const part = bytes.subarray(at, at + this.#left);
      this.#left -= part.length;
      at += part.length;
      if (this.#count?.add(part)) return true;
    }
    return false;
  }

  #begin(head: Buffer): void {
    this.#left = head.readUInt32BE(1);
    const isSmall = this.#left <= MOST_FIELDS || (head.readUInt8(0) & PACKED) !== 0;
    this.#count = isSmall ? undefined : countOf(this.#form);
  }
}

/** Counts the parts of a message of that length; undefined: it cannot have too many, since each takes a byte at least. */
export function partCount(length: number, form: Form): Count | undefined {
  return length > MOST_FIELDS ? countOf(form) : undefined;
}

/** Whether a whole message has too many parts. */
export function isCrowded(message: Uint8Array, form: Form): boolean {
  return partCount(message.length, form)?.add(message) ?? false;
}

/** The same bytes; throws what the sender is told as soon as a message in them has too many parts. */
export async function* uncrowded(
  body: AsyncIterable<Uint8Array>,
  form: Form,
  isEnveloped: boolean,
): AsyncIterable<Uint8Array> {
  const count = isEnveloped ? new EnvelopeCount(form) : countOf(form);
  for await (const chunk of body) {
    if (count.add(chunk)) throw crowded();
    yield chunk;
  }
}

export const crowded = () =>
  new ConnectError(
    `the message has more than ${MOST_FIELDS} fields, or ${MOST_VALUES} values of JSON: send fewer items at once`,
    Code.ResourceExhausted,
  );
