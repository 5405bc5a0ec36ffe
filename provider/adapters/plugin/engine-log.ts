/** Lines that the engine shows at their resource. */
import { credentials } from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogRequest, LogSeverity } from "@pulumi/pulumi/proto/engine_pb";

export interface EngineLog {
  /** Resolves when the engine has the line, or cannot be reached any more. */
  write(urn: string, severity: "info" | "warning", message: string): Promise<void>;
  close(): void;
}

/** `address` is the engine's `host:port`. */
export function openEngineLog(address: string): EngineLog {
  let client: EngineClient | undefined;
  return {
    write(urn, severity, message) {
      client ??= new EngineClient(address, credentials.createInsecure());
      const request = new LogRequest()
        .setUrn(urn)
        .setSeverity(severity === "warning" ? LogSeverity.WARNING : LogSeverity.INFO)
        .setMessage(message);
      // a line that is lost with the engine concerns nobody any more
      return new Promise((resolve) => client!.log(request, () => resolve()));
    },
    close: () => client?.close(),
  };
}
