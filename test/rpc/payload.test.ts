import { describe, expect, test } from "vitest";
import { BrokerError } from "../../src/errors.ts";
import { KNOWN_TYPES, knownType, typedPayload } from "../../src/rpc/payload.ts";

function check(type: string, json: string): void {
  typedPayload("jobs[0].payload_json", type, JSON.parse(json) as Record<string, unknown>, json);
}

test("the six types of the original are known", () => {
  expect(KNOWN_TYPES).toEqual([
    "embedding",
    "handwriting_analysis",
    "homework_video_analysis",
    "ocr",
    "problem_generation",
    "question_segmentation",
  ]);
});

test.for([
  ["ocr", '{"image_path":"/a.png","engine":"tesseract","academy_id":12}'],
  ["ocr", '{"engine":null,"academy_id":null,"image_path":null}'],
  ["ocr", "{}"],
  ["ocr", '{"imagePath":5,"extra":{"engine":[1]},"__proto__":{"engine":"nobody"},"constructor":1}'],
  ["ocr", '{"academy_id":9223372036854775807}'],
  ["ocr", '{"academy_id":-9223372036854775808}'],
  ["ocr", '{"academy_id":5,"x":{"academy_id":99999999999999999999}}'],
  ["question_segmentation", '{"image_path":"p","engine":"yolo"}'],
  ["handwriting_analysis", '{"image_path":""}'],
  ["embedding", '{"texts":[],"backend":"auto"}'],
  ["embedding", '{"texts":["하나","two"]}'],
  ["problem_generation", '{"ocr_text":"x","model":"anything"}'],
  ["homework_video_analysis", '{"video_path":"v.mp4","frame_stride":-2147483648,"min_frame_count":2147483647}'],
  ["a type of yours", '{"image_path":1,"texts":2}'],
])("%s takes %s", ([type, json]) => {
  expect(() => check(type as string, json as string)).not.toThrow();
});

test.for([
  ["ocr", '{"academy_id":"12"}', 'academy_id: must be an integer, got "12"'],
  ["ocr", '{"academy_id":1.5}', "academy_id: must be an integer, got 1.5"],
  ["ocr", '{"academy_id":true}', "academy_id: must be an integer, got true"],
  ["ocr", '{"academy_id":1e400}', "academy_id: must be an integer, got 1e400"],
  ["ocr", '{"academy_id":9223372036854775808}', "academy_id: must fit into 64 bits, got 9223372036854775808"],
  ["ocr", '{"academy_id":-9223372036854775809}', "academy_id: must fit into 64 bits, got -9223372036854775809"],
  ["ocr", '{"academy_id":1e30}', "academy_id: must fit into 64 bits, got 1e30"],
  ["ocr", '{"academy_id":1,"academy_id":[]}', "academy_id: must be an integer, got []"],
  ["ocr", '{"image_path":["a"]}', 'image_path: must be a text, got ["a"]'],
  ["ocr", '{"engine":"yolo"}', 'engine: must be one of google, tesseract, auto, got "yolo"'],
  ["question_segmentation", '{"engine":"google"}', 'engine: must be one of yolo, opencv, template, auto, got "google"'],
  ["embedding", '{"texts":"one"}', 'texts: must be an array, got "one"'],
  ["embedding", '{"texts":["one",2]}', "texts[1]: must be a text, got 2"],
  ["embedding", '{"texts":["one",null]}', "texts[1]: must be a text, got null"],
  ["homework_video_analysis", '{"frame_stride":2147483648}', "frame_stride: must fit into 32 bits, got 2147483648"],
])("%s does not take %s", ([type, json, message]) => {
  expect(() => check(type as string, json as string)).toThrow(
    expect.objectContaining({ reason: "BAD_FIELD", message: `jobs[0].payload_json.${message}` }),
  );
});

test("a long value is cut in the message", () => {
  expect(() => check("ocr", JSON.stringify({ image_path: [`${"x".repeat(1_000)}`] }))).toThrow(/got \["x{38}…$/);
});

describe("strict types", () => {
  test("let the known ones pass", () => {
    expect(() => knownType("jobs[0].type", "ocr")).not.toThrow();
  });

  test("refuse others, with the list of the known", () => {
    expect(() => knownType("jobs[2].type", "toString")).toThrow(BrokerError);
    expect(() => knownType("jobs[2].type", "occr")).toThrow(
      expect.objectContaining({
        reason: "UNKNOWN_JOB_TYPE",
        field: "jobs[2].type",
        message: expect.stringMatching(/"occr".*embedding, .*ocr/),
      }),
    );
  });
});
