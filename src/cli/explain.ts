/** Turns whatever ended a command into one line for its user and an exit code. */
import { Code, ConnectError } from "@connectrpc/connect";
import { CommanderError } from "commander";
import { ConfigError } from "../config.ts";
import { BrokerError } from "../errors.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { CliError } from "./cli-error.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export interface Explained {
  exitCode: number;
  /** One line, or one per fault; empty when it has been printed already. */
  message: string;
}

/** Any error; one that nobody foresaw keeps its stack, for it is a bug. */
export function explain(error: unknown): Explained {
  if (error instanceof CliError) return { exitCode: error.exitCode, message: error.message };
  // Commander has printed its own words; help and version end with 0.
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage, message: "" };
  if (error instanceof ConfigError) return { exitCode: EXIT.usage, message: error.message };
  if (error instanceof BrokerError) return { exitCode: exitForReason(error.reason), message: error.message };
  // By name: its class comes with the store, which most commands never load.
  if (error instanceof Error && error.name === "MigrationRefused")
    return { exitCode: EXIT.failed, message: error.message };
  const database = databaseFault(error);
  if (database !== undefined) return { exitCode: EXIT.failed, message: database };
  const system = systemFault(error);
  if (system !== undefined) return { exitCode: EXIT.failed, message: system };
  return { exitCode: EXIT.failed, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

/** An error of a call to a broker, as the user of a client command reads it. Errors of other kinds pass unchanged. */
export function explainCall(error: unknown, target: { url: string; token: string | undefined }): unknown {
  if (!(error instanceof ConnectError)) return error;
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
  if (reason === undefined) return explainTransport(error, target.url);
  const words = tokenWords(reason, error.rawMessage, target);
  return new CliError(exitForReason(reason), words ?? `${error.rawMessage} (${reason})`);
}

function tokenWords(
  reason: string,
  said: string,
  target: { url: string; token: string | undefined },
): string | undefined {
  if (reason === "BAD_TOKEN" && target.token === undefined) {
    return `the broker at ${target.url} asks for a token: set BROKER_TOKEN to one of its INTERNAL_API_TOKEN`;
  }
  if (reason === "BAD_TOKEN") {
    return `the broker at ${target.url} refuses BROKER_TOKEN: set it to one of its INTERNAL_API_TOKEN`;
  }
  if (reason === "WRONG_ROLE") {
    const what = said.includes("INTERNAL_READ_TOKEN") ? "only reads" : "is a worker's token";
    return `BROKER_TOKEN ${what} at ${target.url}: set it to one of INTERNAL_API_TOKEN`;
  }
  if (reason === "TOKEN_NOT_CONFIGURED") {
    return `the broker at ${target.url} has no INTERNAL_API_TOKEN, so it is closed: set one and start it again`;
  }
  return undefined;
}

function exitForReason(reason: string): ExitCode {
  switch (reason) {
    case "BAD_FIELD":
    case "PAYLOAD_NOT_OBJECT":
    case "PAYLOAD_TOO_LARGE":
    case "BAD_PAGE_TOKEN":
    case "UNKNOWN_JOB_TYPE":
      return EXIT.usage;
    case "JOB_NOT_FOUND":
      return EXIT.notDone;
    case "BAD_TOKEN":
    case "WRONG_ROLE":
    case "TOKEN_NOT_CONFIGURED":
      return EXIT.denied;
    case "SHUTTING_DOWN":
    case "DATABASE_DOWN":
      return EXIT.unreachable;
    default:
      return EXIT.failed;
  }
}

// Node's codes for "there is nobody there", in words.
const NOBODY: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the host name cannot be looked up",
  ETIMEDOUT: "no answer",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
};

// OpenSSL's codes for a certificate that this machine has no reason to trust.
const CERTIFICATE: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "it signed itself",
  SELF_SIGNED_CERT_IN_CHAIN: "its signer signed itself",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its signer is not known here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its signer is not known here",
  CERT_HAS_EXPIRED: "it has expired",
};

function explainTransport(error: ConnectError, url: string): CliError {
  const code = codeOf(error);
  const nobody = code === undefined ? undefined : NOBODY[code];
  if (nobody !== undefined) {
    const help = "start one with `ai-job-broker dev`, or set BROKER_URL to where it is";
    return new CliError(EXIT.unreachable, `no broker at ${url} (BROKER_URL): ${nobody}; ${help}`);
  }
  if (error.code === Code.DeadlineExceeded) {
    return new CliError(EXIT.unreachable, `the broker at ${url} did not answer in time; try again, or look at its log`);
  }
  const certificate = code === undefined ? undefined : CERTIFICATE[code];
  if (certificate !== undefined) {
    const help = "set NODE_EXTRA_CA_CERTS to the file of the certificate that signed it";
    return new CliError(EXIT.unreachable, `the certificate of ${url} is not trusted: ${certificate}; ${help}`);
  }
  if (url.startsWith("https:") && /^(ECONNRESET|EPROTO|ERR_SSL_.*)$/.test(code ?? "")) {
    const help =
      "if it asks for a client's certificate, set BROKER_CERT_FILE and BROKER_KEY_FILE; " +
      "if it is a broker without TLS_CERT_FILE, write http:// in BROKER_URL";
    return new CliError(EXIT.unreachable, `no TLS connection to ${url} (BROKER_URL); ${help}`);
  }
  if (code !== undefined || error.code === Code.Unavailable) {
    const help = "is BROKER_URL right, http or https included, and is it a broker that answers there?";
    return new CliError(EXIT.unreachable, `the call to ${url} broke off (${error.rawMessage}); ${help}`);
  }
  return new CliError(EXIT.failed, `the broker at ${url} answered: ${error.rawMessage} (${Code[error.code]})`);
}

/** The system's code of an error or of what caused it: ECONNREFUSED, EADDRINUSE, … */
export function codeOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string") return at.code;
    if (at instanceof AggregateError && at.errors[0] !== undefined) return codeOf(at.errors[0]);
  }
  return undefined;
}

/** What Postgres refused, also where Drizzle has put its statement around it. Its detail stays out: it quotes rows. */
function databaseFault(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at.name === "PostgresError") return `the database refused: ${at.message} (SQLSTATE ${codeOf(at)})`;
  }
  return undefined;
}

/** What the system refused, in words; the words of whoever caught it before go first. */
function systemFault(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const isSystems = [error, error.cause].some((link) => link instanceof Error && "syscall" in link);
  return isSystems ? error.message : undefined;
}
