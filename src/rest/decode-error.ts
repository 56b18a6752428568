/** Bytes that are no text in their charset; the message is Python's. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** `size` bytes from `at` on are wrong. */
export function cannotDecode(charset: string, bytes: Buffer, at: number, size: number, reason: string): DecodeError {
  const hex = (bytes[at] ?? 0).toString(16).padStart(2, "0");
  const where = size > 1 ? `bytes in position ${at}-${at + size - 1}` : `byte 0x${hex} in position ${at}`;
  return new DecodeError(`'${charset}' codec can't decode ${where}: ${reason}`);
}
