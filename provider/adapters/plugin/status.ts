/** Errors as gRPC has them. */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ErrorResourceInitFailed } from "@pulumi/pulumi/proto/provider_pb";
import { Status } from "@pulumi/pulumi/proto/status_pb";
import { Any } from "google-protobuf/google/protobuf/any_pb";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { EbpfError } from "../../errors";
import { writeMessage } from "./struct";

/** A resource that is there, but not as it shall be: the engine keeps `properties` and calls update next. */
export class HalfDone extends Error {
  constructor(
    message: string,
    readonly id: string,
    readonly properties: Struct,
    readonly refreshBeforeUpdate: boolean,
  ) {
    super(message);
  }
}

/** Never throws: whatever comes here must reach the engine, or it takes the plugin for dead. */
export function toServiceError(thrown: unknown): Partial<ServiceError> {
  try {
    if (!(thrown instanceof HalfDone)) {
      return { code: status.UNKNOWN, details: EbpfError.from(thrown).render() };
    }
    const metadata = new Metadata();
    metadata.add("grpc-status-details-bin", Buffer.from(detailsOf(thrown).serializeBinary()));
    return { code: status.UNKNOWN, details: thrown.message, metadata };
  } catch (unforeseen) {
    return { code: status.UNKNOWN, details: `${String(thrown)} (${String(unforeseen)})` };
  }
}

/** google.rpc.Status with pulumirpc.ErrorResourceInitFailed, as grpc-go reads it. */
function detailsOf({ message, id, properties, refreshBeforeUpdate }: HalfDone): Status {
  const failed = new ErrorResourceInitFailed()
    .setId(id)
    .setProperties(properties)
    .setReasonsList([message])
    .setRefreshBeforeUpdate(refreshBeforeUpdate);
  const detail = new Any();
  detail.pack(writeMessage(ErrorResourceInitFailed, failed), "pulumirpc.ErrorResourceInitFailed");
  return new Status().setCode(status.UNKNOWN).setMessage(message).setDetailsList([detail]);
}
