/** The settings of webhooks (docs/webhooks.md). */
import { flag, whole } from "./setting.ts";

const MINUTE = 60_000;
const MIB = 1024 * 1024;

export const webhookSettings = {
  webhookTimeoutMs: whole("WEBHOOK_TIMEOUT_MS", 10_000, 10, MINUTE, "how long an endpoint may take to answer an event"),
  webhookPollMs: whole(
    "WEBHOOK_POLL_MS",
    1000,
    10,
    MINUTE,
    "how often new events are looked for on behalf of webhooks",
  ),
  webhookMaxResultBytes: whole(
    "WEBHOOK_MAX_RESULT_BYTES",
    256 * 1024,
    0,
    16 * MIB,
    "the largest result that an event carries; a larger one is pointed to",
  ),
  webhookAllowPrivate: flag("WEBHOOK_ALLOW_PRIVATE", false, "endpoints may have private and local addresses"),
  webhookAllowHttp: flag("WEBHOOK_ALLOW_HTTP", false, "endpoints may be http://, without TLS"),
};
