import assert from "node:assert/strict";
import { omitStackTexts } from "../../../sdk/nodejs/stack-texts";

describe("omitStackTexts", () => {
  const limit = Error.stackTraceLimit;
  beforeEach(() => (Error.stackTraceLimit = 10)); // mocha has none
  afterEach(() => (Error.stackTraceLimit = limit));

  it("leaves out the texts that are read meanwhile, and no others", () => {
    const restore = omitStackTexts();
    let meanwhile, kept;
    try {
      meanwhile = new Error("leak").stack;
      kept = new Error("shown");
    } finally {
      restore();
    }
    assert.equal(meanwhile, "");
    assert.match(kept.stack ?? "", /^Error: shown\n +at .*stack-texts\.test\.ts:14:/);
    assert.match(new Error("later").stack ?? "", /^Error: later\n +at /);
  });

  it("keeps the source position of a resource, for which the SDK raises the limit", () => {
    const restore = omitStackTexts();
    let position;
    try {
      Error.stackTraceLimit = Infinity;
      position = new Error().stack;
    } finally {
      restore();
    }
    assert.match(position ?? "", /\n +at .*stack-texts\.test\.ts:28:/);
  });
});
