/**
 * A provider plugin started as the engine starts it: a process that prints its port and answers over gRPC.
 *
 * Owns: that process and the engine's first calls. Does not own: what the plugin answers.
 */
import { credentials, type ServiceError } from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import { CheckRequest, type CheckResponse, ConfigureRequest } from "@pulumi/pulumi/proto/provider_pb";
import { type JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { seconds } from "./row.js";

const executables = {
  "pulumi-ebpf": resolve(__dirname, "../../plugin/pulumi-resource-ebpf"),
  empty: resolve(__dirname, "empty/plugin/pulumi-resource-empty"),
};

const news = {
  connection: { host: "192.0.2.1" },
  specId: "bench/bench/Map/first",
  type: "hash",
  key: "u32",
  value: "u64",
  maxEntries: 16,
} satisfies Record<string, JavaScriptValue>;

/** Seconds from the start of the process to its answer to the first Check. */
export async function startPlugin(name: keyof typeof executables): Promise<number> {
  const child = spawn(executables[name], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  try {
    return await seconds(async () => {
      const [chunk] = (await once(child.stdout, "data")) as [Buffer];
      const client = new ResourceProviderClient(
        `127.0.0.1:${chunk.toString().trim()}`,
        credentials.createInsecure(),
      );
      const token = name === "empty" ? "empty:index:Map" : "ebpf:index:Map";
      const urn = `urn:pulumi:bench::bench::${token}::first`;
      await answered((done) => client.configure(new ConfigureRequest().setAcceptsecrets(false), done));
      const request = new CheckRequest()
        .setUrn(urn)
        .setNews(Struct.fromJavaScript(news))
        .setOlds(new Struct());
      const response = await answered<CheckResponse>((done) => client.check(request, done));
      const [failure] = response.getFailuresList();
      if (failure !== undefined) throw new Error(failure.getReason());
      client.close();
    });
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

function answered<T>(call: (done: (error: ServiceError | null, response: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) =>
    call((error, response) => (error === null ? resolve(response) : reject(error))),
  );
}
