/**
 * The payloads of the known job types, checked by the descriptors of proto/aibroker/v1/payloads.proto: a new type is a
 * new message there and no code here. Absent and null fields and unknown keys pass.
 */
import { type DescField, type DescMessage, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { BrokerError, badField } from "../errors.ts";
import { allowed, file_aibroker_v1_payloads, job_type } from "../gen/aibroker/v1/payloads_pb.ts";
import { cut } from "../job/limits.ts";
import { shown } from "./validate.ts";

/** Throws BAD_FIELD with the path of the value that does not fit; `exact` gives a number as its text has it. */
type Check = (field: string, value: unknown, exact: () => string) => void;

const CHECKS: ReadonlyMap<string, ReadonlyMap<string, Check>> = new Map(
  file_aibroker_v1_payloads.messages
    .filter((message) => hasOption(message, job_type))
    .map((message) => [getOption(message, job_type), checksOf(message)]),
);

/** The types that have a typed payload. */
export const KNOWN_TYPES: readonly string[] = [...CHECKS.keys()].sort();

/** Refuses a type without a typed payload, in strict mode. */
export function knownType(field: string, type: string): void {
  if (CHECKS.has(type)) return;
  const message = `the type ${shown(type)} is not known here (STRICT_TYPES is on); known are ${KNOWN_TYPES.join(", ")}`;
  throw new BrokerError("UNKNOWN_JOB_TYPE", `${field}: ${message}`, { field });
}

/** Checks a payload of a known type; any payload of another type passes. `json` is the text that was parsed. */
export function typedPayload(field: string, type: string, payload: Record<string, unknown>, json: string): void {
  const checks = CHECKS.get(type);
  if (checks === undefined) return;
  for (const [key, check] of checks) {
    const value = Object.hasOwn(payload, key) ? payload[key] : null;
    if (value !== null) check(`${field}.${key}`, value, () => sourceOf(json, key));
  }
}

function checksOf(message: DescMessage): ReadonlyMap<string, Check> {
  return new Map(message.fields.map((field) => [field.name, checkOf(field)]));
}

function checkOf(field: DescField): Check {
  const values = getOption(field, allowed);
  if (field.fieldKind === "scalar") return scalarCheck(field.scalar, values);
  if (field.fieldKind === "list" && field.listKind === "scalar") {
    const item = scalarCheck(field.scalar, values);
    return (path, value, exact) => {
      if (!Array.isArray(value)) throw badField(path, `must be an array, got ${shown(value)}`);
      for (const [index, one] of value.entries()) item(`${path}[${index}]`, one, exact);
    };
  }
  throw new Error(`payloads.proto: ${field.parent.name}.${field.name} is of a kind that payload.ts cannot check`);
}

function scalarCheck(scalar: ScalarType, values: readonly string[]): Check {
  switch (scalar) {
    case ScalarType.STRING:
      return (path, value) => checkString(path, value, values);
    case ScalarType.INT32:
      return (path, value, exact) => {
        checkInteger(path, value, exact);
        if (value !== ((value as number) | 0)) throw badField(path, `must fit into 32 bits, got ${exact()}`);
      };
    case ScalarType.INT64:
      return (path, value, exact) => {
        checkInteger(path, value, exact);
        // Past 2^53 the parsed number is only near, so the digits of the text decide.
        if (!Number.isSafeInteger(value) && !fits64(exact())) {
          throw badField(path, `must fit into 64 bits, got ${exact()}`);
        }
      };
    case ScalarType.BOOL:
      return (path, value) => {
        if (typeof value !== "boolean") throw badField(path, `must be true or false, got ${shown(value)}`);
      };
    case ScalarType.DOUBLE:
      return (path, value) => {
        if (typeof value !== "number") throw badField(path, `must be a number, got ${shown(value)}`);
      };
    default:
      throw new Error(`payloads.proto uses the scalar ${scalar}, which payload.ts cannot check`);
  }
}

function checkString(path: string, value: unknown, values: readonly string[]): void {
  if (typeof value !== "string") throw badField(path, `must be a text, got ${shown(value)}`);
  if (values.length > 0 && !values.includes(value)) {
    throw badField(path, `must be one of ${values.join(", ")}, got ${shown(value)}`);
  }
}

function checkInteger(path: string, value: unknown, exact: () => string): void {
  if (Number.isInteger(value)) return;
  throw badField(path, `must be an integer, got ${typeof value === "number" ? exact() : shown(value)}`);
}

function fits64(source: string): boolean {
  // A float's notation (1e18) is an integer by value; its digits are those of the double.
  if (!/^-?\d+$/.test(source)) return Math.abs(Number(source)) < 2 ** 63;
  return source.length <= 20 && BigInt.asIntN(64, BigInt(source)) === BigInt(source);
}

/** The text of a number at the top level, digit for digit; of keys given twice the last, as JSON.parse has it. */
function sourceOf(json: string, key: string): string {
  const sources = new Map<unknown, string>();
  const root: unknown = JSON.parse(json, function (this: unknown, name: string, value: unknown, at?: Source) {
    if (name === key && at?.source !== undefined) sources.set(this, at.source);
    return value;
  });
  return cut(sources.get(root) ?? "", 40);
}

/** What JSON.parse tells a reviver about a primitive; the types of the language do not have it yet. */
interface Source {
  source?: string;
}
