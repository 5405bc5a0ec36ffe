/** An Attachment that the plugin's tests check, create and fail to create, as a program of any language gives it. */
import assert from "node:assert/strict";
import type { ServiceError } from "@grpc/grpc-js";
import { attachmentInputs } from "../../lifecycle/host";
import { type Engine, type Properties, urnOf } from "./engine";

export const urn = urnOf("Attachment", "web");
const { specId: _specId, ...rest } = attachmentInputs();
export const plain: Properties = rest;

export async function created(
  engine: Engine,
  news: Properties = plain,
): Promise<{ inputs: Properties; id: string; outputs: Properties }> {
  const { inputs, failures } = await engine.check(urn, news);
  assert.deepEqual(failures, []);
  return { inputs, ...(await engine.create(urn, inputs)) };
}

export async function failed(work: Promise<unknown>): Promise<ServiceError> {
  const error: unknown = await work.then(
    () => assert.fail("it succeeded"),
    (thrown: unknown) => thrown,
  );
  return error as ServiceError;
}
