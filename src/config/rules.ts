/** What has to hold between settings. */
import { isCertificate, isTlsPair } from "./setting.ts";
import type { Key, Settings } from "./settings.ts";

export const RULES: { keys: Key[]; holds: (s: Settings) => boolean; fault: string }[] = [
  {
    keys: ["tlsCertFile", "tlsKeyFile"],
    holds: (s) => (s.tlsCertFile === undefined) === (s.tlsKeyFile === undefined),
    fault: "TLS_CERT_FILE and TLS_KEY_FILE go together: set both for TLS, or none",
  },
  {
    keys: ["tlsCertFile", "tlsKeyFile"],
    holds: ({ tlsCertFile: cert, tlsKeyFile: key }) => cert === undefined || key === undefined || isTlsPair(cert, key),
    fault:
      "TLS_CERT_FILE and TLS_KEY_FILE are no pair: give a PEM certificate chain and its PEM key without a password",
  },
  {
    keys: ["tlsClientCaFile", "tlsCertFile"],
    holds: (s) => s.tlsClientCaFile === undefined || s.tlsCertFile !== undefined,
    fault: "TLS_CLIENT_CA_FILE asks clients for certificates, which only TLS can: set TLS_CERT_FILE and TLS_KEY_FILE",
  },
  {
    keys: ["tlsClientCaFile"],
    holds: (s) => s.tlsClientCaFile === undefined || isCertificate(s.tlsClientCaFile),
    fault: "TLS_CLIENT_CA_FILE holds no PEM certificate, so no client could ever connect",
  },
  {
    keys: ["databaseUrl", "databaseDirectUrl"],
    holds: (s) => s.databaseDirectUrl === undefined || s.databaseUrl !== undefined,
    fault: "DATABASE_DIRECT_URL leads past a pooler to the database of DATABASE_URL: set that, too",
  },
  {
    keys: ["maxResultBytes", "maxRequestBytes"],
    holds: (s) => s.maxResultBytes <= s.maxRequestBytes,
    fault: "MAX_RESULT_BYTES must not be larger than MAX_REQUEST_BYTES, or no such result could ever arrive",
  },
  {
    keys: ["maxPayloadBytes", "maxRequestBytes"],
    holds: (s) => s.maxPayloadBytes <= s.maxRequestBytes,
    fault: "MAX_PAYLOAD_BYTES must not be larger than MAX_REQUEST_BYTES, or no such payload could ever arrive",
  },
  {
    keys: ["workPingMs", "workSilenceMs"],
    holds: (s) => s.workPingMs < s.workSilenceMs,
    fault: "WORK_PING_MS must be smaller than WORK_SILENCE_MS, or workers are given up before they are asked",
  },
  {
    keys: ["backoffBaseMs", "backoffMaxMs"],
    holds: (s) => s.backoffBaseMs <= s.backoffMaxMs,
    fault: "BACKOFF_BASE_MS must not be larger than BACKOFF_MAX_MS",
  },
  {
    keys: ["lockTimeoutMs", "statementTimeoutMs"],
    holds: (s) => s.lockTimeoutMs <= s.statementTimeoutMs,
    fault: "LOCK_TIMEOUT_MS must not be larger than STATEMENT_TIMEOUT_MS",
  },
  {
    keys: ["workerTokens", "apiTokens"],
    holds: (s) => !s.workerTokens.some((token) => s.apiTokens.includes(token)),
    fault: "INTERNAL_WORKER_TOKEN and INTERNAL_API_TOKEN share a token, so workers could dispatch: give each its own",
  },
  {
    keys: ["readTokens", "workerTokens", "apiTokens"],
    holds: (s) => !s.readTokens.some((token) => s.apiTokens.includes(token) || s.workerTokens.includes(token)),
    fault: "INTERNAL_READ_TOKEN shares a token with another list, so it would not only read: give each its own",
  },
];
