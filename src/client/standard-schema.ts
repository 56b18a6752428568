/** Validation by any library that speaks Standard Schema (https://standardschema.dev): zod, valibot, arktype and more. */
import { SchemaError } from "./failures.ts";

/** The part of the standard's interface that is read here. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    /** Never there at run time: it carries the types. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Answers what the schema makes of the value; throws a SchemaError that names `what` and each fault. */
export async function validate<O>(schema: StandardSchema<unknown, O>, value: unknown, what: string): Promise<O> {
  const validated = await schema["~standard"].validate(value);
  if (validated.issues !== undefined) throw new SchemaError(what, validated.issues.map(describe));
  return validated.value;
}

function describe({ path = [], message }: Issue): string {
  const keys = path.map((part) => (typeof part === "object" ? part.key : part));
  const where = keys.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  return where === "" ? message : `${where.replace(/^\./, "")}: ${message}`;
}
