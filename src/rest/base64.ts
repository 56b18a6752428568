/** Base64 as Python's b64decode reads it: other characters are skipped, the padding must be there. */

/** Undefined where the digits and the padding do not add up. */
export function decodeBase64(bytes: Buffer): Buffer | undefined {
  const clean = bytes.toString("latin1").replace(/[^A-Za-z0-9+/=]/g, "");
  let digits = 0;
  let pads = 0;
  let end = 0;
  for (; end < clean.length; end++) {
    if (clean[end] !== "=") {
      digits++;
      pads = 0;
    } else if (digits % 4 >= 2 && (digits % 4) + ++pads >= 4) break; // Padded in full: what follows is not looked at.
  }
  if (end === clean.length && digits % 4 !== 0) return undefined;
  return Buffer.from(clean.slice(0, end).replaceAll("=", ""), "base64");
}
