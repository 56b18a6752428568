/** What a command prints: data to stdout, words about it to stderr. */
import { type DescEnum, type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";

/** One or more lines of data. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A word to the person at the terminal, which must not land in a pipe. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** JSON for programs. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** A message of the API as proto3 JSON, the same text as grpcurl and buf curl print; default values are included. */
export function messageJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

/** The short name of an enum's value (RUNNING for JOB_STATUS_RUNNING); its number where a newer broker knows more. */
export function enumName(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName ?? String(value);
}
