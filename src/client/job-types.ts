/**
 * The types of payloads and results, by job type. The six known types come from proto/aibroker/v1/payloads.proto in
 * their JSON form (snake_case); a program adds its own by giving a map of its own to createClient or createWorker.
 */
import type {
  EmbeddingPayload,
  HandwritingAnalysisPayload,
  HomeworkVideoAnalysisPayload,
  OcrPayload,
  ProblemGenerationPayload,
  QuestionSegmentationPayload,
} from "../gen/aibroker/v1/payloads_pb.ts";

/** What a map of job types says of each: what goes in and what comes out. */
export interface JobType {
  payload: object;
  result: object;
}

/** `image_path` of `imagePath`. */
type Snake<S extends string> = S extends `${infer Head}${infer Tail}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${Snake<Tail>}`
  : S;

/** int64 is a JSON number in a payload. */
type JsonValue<V> = V extends bigint ? number : V;

type OwnKey<M> = Exclude<keyof M & string, "$typeName" | "$unknown">;
type OptionalKey<M> = { [K in OwnKey<M>]: undefined extends M[K] ? K : never }[OwnKey<M>];

/** A payload message as the JSON object that travels: optional fields may be absent or null. */
export type PayloadJson<M> = {
  [K in Exclude<OwnKey<M>, OptionalKey<M>> as Snake<K>]: JsonValue<M[K]>;
} & {
  [K in OptionalKey<M> as Snake<K>]?: JsonValue<Exclude<M[K], undefined>> | null;
};

/** Results are the workers' own business: these keys are what the known workers send, and more may come with them. */
export interface KnownJobTypes {
  ocr: { payload: PayloadJson<OcrPayload>; result: OcrResult };
  question_segmentation: { payload: PayloadJson<QuestionSegmentationPayload>; result: QuestionSegmentationResult };
  handwriting_analysis: { payload: PayloadJson<HandwritingAnalysisPayload>; result: OpenResult };
  embedding: { payload: PayloadJson<EmbeddingPayload>; result: EmbeddingResult };
  problem_generation: { payload: PayloadJson<ProblemGenerationPayload>; result: ProblemGenerationResult };
  homework_video_analysis: { payload: PayloadJson<HomeworkVideoAnalysisPayload>; result: OpenResult };
}

/** Any object. */
export type OpenResult = Record<string, unknown>;

export interface OcrResult extends OpenResult {
  text: string;
  /** 0..100 */
  confidence?: number;
}

export interface QuestionSegmentationResult extends OpenResult {
  questions: unknown[];
}

export interface EmbeddingResult extends OpenResult {
  /** One for each text of the payload, in its order. */
  vectors: number[][];
}

export interface ProblemGenerationResult extends OpenResult {
  problems: unknown[];
}

/** What a handler gets of type T. Of a known type every field may be absent or null: no producer has to fill them in. */
export type ReceivedPayload<M, T> = T extends keyof M
  ? M[T] extends { payload: infer P }
    ? T extends keyof KnownJobTypes
      ? KnownJobTypes[T]["payload"] extends P
        ? { [K in keyof P]?: P[K] | null }
        : P
      : P
    : never
  : Record<string, unknown>;

/** What a producer sends of type T. */
export type SentPayload<M, T> = T extends keyof M ? (M[T] extends { payload: infer P } ? P : never) : object;

/** What a handler of type T answers; nothing at all is DONE without a result. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that ends without a return is what this is about
export type HandlerResult<M, T> = T extends keyof M ? (M[T] extends { result: infer R } ? R : never) : object | void;

/** What a producer reads of a DONE job of type T. */
export type ReadResult<M, T> = T extends keyof M
  ? M[T] extends { result: infer R }
    ? R
    : never
  : Record<string, unknown>;

/** The names in a map of job types; the default map takes any other name too, with payloads of any shape. */
export type TypeName<M> = M extends AnyJobTypes ? (keyof KnownJobTypes & string) | (string & {}) : keyof M & string;

/** The default map: the known types as they are, and no word on others. */
export interface AnyJobTypes extends KnownJobTypes {
  readonly [anyOther]: true;
}
declare const anyOther: unique symbol;
