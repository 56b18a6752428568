/** What the tokens of one statement's leases are made from. */
import { randomBytes } from "node:crypto";

/** 22 characters at random: nobody guesses the lease of another. */
export function newLeaseToken(): string {
  return randomBytes(16).toString("base64url");
}
