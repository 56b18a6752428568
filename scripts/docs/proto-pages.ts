/** The API reference: a page of Markdown for each of our proto files, made of its comments. Pure. */
import { getExtension, hasExtension } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  type FileDescriptorProto,
  MethodOptions_IdempotencyLevel as Idempotency,
  FieldDescriptorProto_Label as Label,
  type MethodDescriptorProto,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { allowed, job_type } from "../../src/gen/aibroker/v1/payloads_pb.ts";

export interface Page {
  /** Below docs/reference/. */
  name: string;
  text: string;
}

/** Numbers of fields in descriptor.proto, by which the places of comments are told. */
const AT = { message: 4, enum: 5, service: 6, syntax: 12, field: 2, oneof: 8, value: 2, method: 2 } as const;

/** One file with the comments at their places. */
interface Commented {
  file: FileDescriptorProto;
  /** By path, such as 4.0.2.1: the second field of the first message. */
  comments: ReadonlyMap<string, string>;
  /** Lines, by the same. */
  lines: ReadonlyMap<string, number>;
  /** The address of each message and enum of all pages, by its full name. */
  links: ReadonlyMap<string, string>;
}

/** The pages of the files of `package_`, of a descriptor set that has their comments. */
export function protoPages(files: readonly FileDescriptorProto[], package_: string): Page[] {
  const ours = files.filter((file) => file.package === package_);
  const links = new Map(
    ours.flatMap((file) =>
      [...file.messageType, ...file.enumType].map(({ name }) => [
        `.${package_}.${name}`,
        `${nameOf(file)}#${name.toLowerCase()}`,
      ]),
    ),
  );
  return ours.map((file) => ({ name: nameOf(file), text: pageOf(commented(file, links)) }));
}

/** `worker-service.md` of `aibroker/v1/worker_service.proto`. */
function nameOf({ name }: FileDescriptorProto): string {
  return name
    .replace(/^.*\//, "")
    .replace(/\.proto$/, ".md")
    .replaceAll("_", "-");
}

function commented(file: FileDescriptorProto, links: Commented["links"]): Commented {
  const locations = file.sourceCodeInfo?.location ?? [];
  return {
    file,
    links,
    comments: new Map(locations.map(({ path, leadingComments }) => [path.join("."), leadingComments])),
    lines: new Map(locations.map(({ path, span }) => [path.join("."), span[0] ?? 0])),
  };
}

function pageOf(page: Commented): string {
  const { file } = page;
  const [service] = file.service;
  const title = service?.name ?? capital(nameOf(file).replace(/\.md$/, ""));
  const parts = [
    ...file.messageType.map((message, at) => ({
      at: `${AT.message}.${at}`,
      text: () => messageText(page, message, at),
    })),
    ...file.enumType.map((type, at) => ({ at: `${AT.enum}.${at}`, text: () => enumText(page, type, at) })),
  ].sort((a, b) => (page.lines.get(a.at) ?? 0) - (page.lines.get(b.at) ?? 0));
  return `${[
    `<!-- Made of proto/${file.name} by scripts/docs.ts; to change it, change the comments there. -->`,
    // An anchor of its own, since a message may have the page's name.
    `# ${title} {#top}`,
    prose(page, `${AT.syntax}`),
    ...(service === undefined ? [] : [prose(page, `${AT.service}.0`)]),
    ...(service?.method ?? []).map((method, at) => methodText(page, method, at)),
    ...parts.map(({ text }) => text()),
  ]
    .filter((part) => part !== "")
    .join("\n\n")}\n`;
}

function methodText(page: Commented, method: MethodDescriptorProto, at: number): string {
  const { file } = page;
  const path = `\`${file.package}.${file.service[0]?.name}/${method.name}\``;
  const takes = `${method.clientStreaming ? "a stream of " : ""}${linkTo(page, method.inputType)}`;
  const answers = `${method.serverStreaming ? "a stream of " : ""}${linkTo(page, method.outputType)}`;
  const isRead = method.options?.idempotencyLevel === Idempotency.NO_SIDE_EFFECTS;
  const get = isRead ? " Without side effects: may be called by GET, too." : "";
  // A message may have the method's name, so methods have anchors of their own.
  return [
    `## ${method.name} {#rpc-${method.name.toLowerCase()}}`,
    `${path} takes ${takes} and answers ${answers}.${get}`,
    prose(page, `${AT.service}.0.${AT.method}.${at}`),
  ].join("\n\n");
}

function messageText(page: Commented, message: DescriptorProto, at: number): string {
  const place = `${AT.message}.${at}`;
  const rows = message.field.map((field, nth) =>
    row([
      `\`${field.name}\``,
      typeText(page, message, field),
      String(field.number),
      [oneofText(message, field), cell(page.comments.get(`${place}.${AT.field}.${nth}`)), valuesText(field)]
        .filter((part) => part !== "")
        .join(" "),
    ]),
  );
  const type =
    message.options && hasExtension(message.options, job_type) ? getExtension(message.options, job_type) : "";
  return [
    heading(message.name),
    prose(page, place),
    type === "" ? "" : `The payload of \`${type}\`.`,
    rows.length === 0 ? "It has no fields." : ["| field | type | no. | |", "|---|---|---|---|", ...rows].join("\n"),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

function enumText(page: Commented, type: EnumDescriptorProto, at: number): string {
  const place = `${AT.enum}.${at}`;
  const rows = type.value.map((value, nth) =>
    row([`\`${value.name}\``, String(value.number), cell(page.comments.get(`${place}.${AT.value}.${nth}`))]),
  );
  const table = ["| value | no. | |", "|---|---|---|", ...rows].join("\n");
  return [heading(type.name), prose(page, place), table].filter((part) => part !== "").join("\n\n");
}

function heading(name: string): string {
  return `## ${name} {#${name.toLowerCase()}}`;
}

function typeText(page: Commented, message: DescriptorProto, field: FieldDescriptorProto): string {
  const entry = message.nestedType.find(
    ({ name, options }) => options?.mapEntry && field.typeName.endsWith(`.${message.name}.${name}`),
  );
  const [key, value] = entry?.field ?? [];
  if (entry !== undefined && key !== undefined && value !== undefined) {
    return `map of ${typeText(page, entry, key)} to ${typeText(page, entry, value)}`;
  }
  const type = field.typeName === "" ? (Type[field.type] ?? "").toLowerCase() : linkTo(page, field.typeName);
  if (field.label === Label.REPEATED) return `repeated ${type}`;
  return field.proto3Optional ? `optional ${type}` : type;
}

/** Which fields exclude each other. */
function oneofText(message: DescriptorProto, field: FieldDescriptorProto): string {
  const isOne = !field.proto3Optional && Object.hasOwn(field, "oneofIndex");
  return isOne ? `One of \`${message.oneofDecl[field.oneofIndex]?.name}\`.` : "";
}

function valuesText({ options }: FieldDescriptorProto): string {
  const values = options && hasExtension(options, allowed) ? getExtension(options, allowed) : [];
  return values.length === 0 ? "" : `${values.map((value) => `\`${value}\``).join(", ")}.`;
}

/** Types of ours lead to their place, others have their name. */
function linkTo({ links }: Commented, fullName: string): string {
  const name = fullName.split(".").at(-1) ?? fullName;
  const link = links.get(fullName);
  return link === undefined ? name : `[${name}](${link})`;
}

function prose({ comments }: Commented, place: string): string {
  return marked(comments.get(place) ?? "").trim();
}

/** In a table's cell everything is one line. */
function cell(comment = ""): string {
  return marked(comment).trim().replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
}

/** A comment as Markdown: what it says, letter for letter, with links to the pages that it names. */
function marked(comment: string): string {
  return comment
    .replaceAll(/^ /gm, "")
    .replaceAll(/[<*_]/g, (mark) => (mark === "<" ? "&lt;" : `\\${mark}`))
    .replaceAll(/\bdocs\/([a-z0-9-]+\.md)\b/g, "[docs/$1](../$1)");
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function capital(word: string): string {
  return `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
}
