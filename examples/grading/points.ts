/** The points of the story, in their order. At any one of them the broker may be killed. */
export const POINTS = [
  "dispatching",
  "dispatched",
  "reading",
  "read",
  "reported",
  "told done",
  "delivered",
  "applied",
  "grading dispatched",
  "answered",
  "grading",
  "graded",
] as const;

export type Point = (typeof POINTS)[number];

/** Says that a point is reached; resolves when the story may go on, with or without a broker. */
export type Reach = (point: Point) => Promise<void>;
