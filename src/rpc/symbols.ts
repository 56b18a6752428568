/** Every name that a set of services reaches, and the file that declares it: what reflection answers from. */
import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

export interface Symbols {
  /** Full names, sorted. */
  services: string[];
  /** By path, for example `google/protobuf/duration.proto`. */
  file(path: string): DescFile | undefined;
  /** By the full name of a message, field, oneof, enum, enum value, extension, service or method. */
  fileOf(name: string): DescFile | undefined;
  /** Numbers of the known extensions of a message, sorted; undefined where there is no such message. */
  extensionNumbers(messageName: string): number[] | undefined;
  fileOfExtension(messageName: string, number: number): DescFile | undefined;
  /** The file and, after it, all that it imports, each once, as serialized FileDescriptorProto. */
  withImports(file: DescFile): Uint8Array[];
}

/** Indexes the services' files, further ones, and all that these import. */
export function indexSymbols(services: readonly DescService[], further: readonly DescFile[] = []): Symbols {
  const files = new Map<string, DescFile>();
  for (const root of [...services.map((service) => service.file), ...further]) {
    for (const file of closure(root)) files.set(pathOf(file), file);
  }

  const names = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of files.values()) {
    for (const service of file.services) {
      names.set(service.typeName, file);
      for (const method of service.methods) names.set(`${service.typeName}.${method.name}`, file);
    }
    for (const type of nestedTypes(file)) {
      names.set(type.typeName, file);
      if (type.kind === "message") {
        if (!extensions.has(type.typeName)) extensions.set(type.typeName, new Map());
        for (const member of [...type.fields, ...type.oneofs]) names.set(`${type.typeName}.${member.name}`, file);
      }
      if (type.kind === "enum") {
        // By protobuf's rule a value is a sibling of its enum; some clients put it below the enum all the same.
        const scope = type.typeName.slice(0, type.typeName.lastIndexOf(".") + 1);
        for (const value of type.values) {
          names.set(`${scope}${value.name}`, file);
          names.set(`${type.typeName}.${value.name}`, file);
        }
      }
      if (type.kind === "extension") {
        const numbers = extensions.get(type.extendee.typeName) ?? new Map<number, DescFile>();
        extensions.set(type.extendee.typeName, numbers.set(type.number, file));
      }
    }
  }

  const serialized = new Map<DescFile, Uint8Array>();
  const bytesOf = (file: DescFile): Uint8Array => {
    const bytes = serialized.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
    serialized.set(file, bytes);
    return bytes;
  };

  return {
    services: services.map((service) => service.typeName).sort(),
    file: (path) => files.get(path),
    fileOf: (name) => names.get(name),
    extensionNumbers: (name) => {
      const numbers = extensions.get(name);
      return numbers && [...numbers.keys()].sort((a, b) => a - b);
    },
    fileOfExtension: (name, number) => extensions.get(name)?.get(number),
    withImports: (file) => closure(file).map(bytesOf),
  };
}

/** The file first, then its imports, each once. */
function closure(file: DescFile): DescFile[] {
  const found = new Set<DescFile>();
  const visit = (next: DescFile) => {
    if (found.has(next)) return;
    found.add(next);
    next.dependencies.forEach(visit);
  };
  visit(file);
  return [...found];
}

/** protobuf-es leaves the ending out of a file's name. */
function pathOf(file: DescFile): string {
  return `${file.name}.proto`;
}
