/** The testing kit: a real broker in one line, and one handler without any. */
export { type Ran, type RunOneOptions, runOne } from "./run-one.ts";
export { startTestBroker, type TestBroker, type TestBrokerOptions } from "./test-broker.ts";
