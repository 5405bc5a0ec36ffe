/**
 * The plugin adapter: `pulumi-resource-ebpf`, a gRPC server that the engine starts, one process per provider.
 *
 * Owns: the engine's protocol (github.com/pulumi/pulumi, proto/pulumi/provider.proto), configuration, secrets, lines at
 * their resource, time limits and cancellation. Does not own: anything that a resource does (provider/lifecycle).
 */
import {
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { PluginInfo, type PluginAttach } from "@pulumi/pulumi/proto/plugin_pb";
import { type IResourceProviderServer, ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb";
import {
  ConfigureResponse,
  GetSchemaResponse,
  type ProviderHandshakeRequest,
  ProviderHandshakeResponse,
} from "@pulumi/pulumi/proto/provider_pb";
import type { Message } from "google-protobuf";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EbpfError } from "../../errors";
import { packageRoot, packageVersion } from "../../version";
import { createCalls } from "./calls";
import { checkConfig, type CoreOptions, createCore, diffConfig } from "./core";
import { openEngineLog } from "./engine-log";
import { invoke } from "./functions";
import { createResources } from "./resources";
import { toServiceError } from "./status";
import { fromStruct, type MessageClass, readMessage, writeMessage } from "./struct";

/** As the engine's own limit: a state may hold large maps. */
const MESSAGE_BYTES = 400 << 20;

type Unary<Handler> =
  Handler extends handleUnaryCall<infer Request, infer Response>
    ? (request: Request) => Promise<Response>
    : never;

type Methods =
  | "handshake"
  | "attach"
  | "getPluginInfo"
  | "getSchema"
  | "cancel"
  | "checkConfig"
  | "diffConfig"
  | "configure"
  | "check"
  | "diff"
  | "create"
  | "read"
  | "update"
  | "delete"
  | "invoke";
export type Handlers = { [Name in Methods]: Unary<IResourceProviderServer[Name]> };

export interface PluginOptions extends CoreOptions {
  /** `host:port`. */
  engine?: string | undefined;
}

export function createHandlers(options: PluginOptions): Handlers {
  const calls = createCalls();
  const connect = (address: string) => {
    calls.log?.close();
    calls.log = openEngineLog(address);
  };
  if (options.engine !== undefined) connect(options.engine);

  let configured: (ReturnType<typeof createResources> & Pick<Handlers, "invoke">) | undefined;
  const served = () => {
    if (configured !== undefined) return configured;
    throw new EbpfError("internal", "serve a resource: the provider is not configured yet", {});
  };

  return {
    async handshake(request: ProviderHandshakeRequest) {
      connect(request.getEngineAddress());
      return new ProviderHandshakeResponse();
    },

    async attach(request: PluginAttach) {
      connect(request.getAddress());
      return new Empty();
    },

    getPluginInfo: async () => new PluginInfo().setVersion(packageVersion()),

    getSchema: async () => new GetSchemaResponse().setSchema(await readSchema()),

    async cancel() {
      calls.cancel();
      return new Empty();
    },

    checkConfig: async (request) => checkConfig(request),

    diffConfig: async (request) => diffConfig(request),

    async configure(request) {
      const core = createCore(fromStruct(request.getArgs()) ?? {}, options);
      configured = { ...createResources(core, calls), invoke: (call) => invoke(core, calls, call) };
      return new ConfigureResponse().setSupportspreview(true);
    },

    check: (request) => served().check(request),
    diff: (request) => served().diff(request),
    create: (request) => served().create(request),
    read: (request) => served().read(request),
    update: (request) => served().update(request),
    delete: (request) => served().delete(request),
    invoke: (request) => served().invoke(request),
  };
}

async function readSchema(): Promise<string> {
  const file = join(packageRoot(), "schema.json");
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new EbpfError(
      "not-found",
      "read the schema of pulumi-ebpf",
      { what: "file", name: file },
      {
        remedy: "install the package again: it is not whole",
        cause,
      },
    );
  }
}

/** Serves on a port of this machine's own; `close` ends it at once. */
export async function serve(handlers: Handlers): Promise<{ port: number; close(): void }> {
  const server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES,
    "grpc.max_send_message_length": MESSAGE_BYTES,
  });
  const methods: UntypedServiceImplementation = {};
  for (const [name, handler] of Object.entries(handlers)) {
    methods[name] = answer(handler as (request: unknown) => Promise<unknown>);
  }
  server.addService(service, methods);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { port, close: () => server.forceShutdown() };
}

/** With a Struct as its bytes. */
const service = Object.fromEntries(
  Object.entries(ResourceProviderService).map(([name, method]) => {
    const { requestType, responseType } = method as Method;
    const own: Partial<Method> = {
      requestDeserialize: (bytes) => readMessage(requestType, bytes),
      responseSerialize: (message) => Buffer.from(writeMessage(responseType, message)),
    };
    return [name, { ...method, ...own }];
  }),
);

/** What the generated service has, beyond its types. */
interface Method extends MethodDefinition<Message, Message> {
  requestType: MessageClass;
  responseType: MessageClass;
}

/** Whatever a handler throws, at once or later, becomes the call's answer. */
function answer<Request, Response>(
  handler: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    void Promise.resolve(call.request)
      .then(handler)
      .then(
        (response) => callback(null, response),
        (thrown: unknown) => callback(toServiceError(thrown)),
      );
  };
}
