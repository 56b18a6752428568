/** Secrets and signatures as Standard Webhooks 1.0 has them: HMAC-SHA256 over id.timestamp.body. */
import { createHmac, randomBytes } from "node:crypto";

const PREFIX = "whsec_";
const BYTES = 32;

/** A new secret: whsec_ and 32 random bytes in base64. */
export function newSecret(): string {
  return PREFIX + randomBytes(BYTES).toString("base64");
}

/** Whether a text is such a secret, of the 24 to 64 bytes that the standard wants. */
export function isSecret(text: string): boolean {
  if (!text.startsWith(PREFIX)) return false;
  const bytes = keyOf(text);
  return bytes.length >= 24 && bytes.length <= 64 && PREFIX + bytes.toString("base64") === text;
}

export interface SignedHeaders {
  "webhook-id": string;
  "webhook-timestamp": string;
  "webhook-signature": string;
}

/** The three headers of a message. A receiver refuses what is more than some minutes old, so `at` is the time of the try. */
export function sign(secret: string, id: string, at: Date, body: string): SignedHeaders {
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  const signature = createHmac("sha256", keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(PREFIX.length), "base64");
}
