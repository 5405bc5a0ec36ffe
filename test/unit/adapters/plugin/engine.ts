/**
 * The engine's end of the plugin: a real gRPC client of its server in this process, and the log that it writes to. The
 * hosts are those of the lifecycle's tests.
 */
import { credentials, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import { EngineService } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { type LogRequest, LogSeverity } from "@pulumi/pulumi/proto/engine_pb";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { type JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import { createHandlers, serve } from "../../../../provider/adapters/plugin/server";
import { EbpfError } from "../../../../provider/errors";
import type { Verb } from "../../../../provider/protocol/messages";
import type { AgentSession, OpenSession } from "../../../../provider/transport/session";
import { Host } from "../../lifecycle/host";

export type Properties = Record<string, unknown>;

export const SIGNATURE = "4dabf18193072939515e22adb298388d";

/** As the engine marks a secret, and as the plugin does. */
export function secret(value: unknown): Properties {
  return { [SIGNATURE]: "1b47061264138c4ac30d75fd1eb44270", value };
}

export function struct(properties: Properties): Struct {
  return Struct.fromJavaScript(properties as Record<string, JavaScriptValue>);
}

export function urnOf(kind: string, name: string, parents = ""): string {
  return `urn:pulumi:prod::shop::${parents}ebpf:index:${kind}::${name}`;
}

export class Engine {
  readonly host = new Host();
  /** Lines at their resources: `<urn> <severity> <message>`. */
  readonly lines: string[] = [];
  /** Verbs that a host does not answer before they are cancelled. */
  readonly stuck = new Set<Verb>();
  private readonly ends: (() => void)[] = [];
  private client!: ResourceProviderClient;

  /** Configured with `config`; with `null` not at all. */
  static async start(config: Properties | null = {}, environment: NodeJS.ProcessEnv = {}): Promise<Engine> {
    const engine = new Engine();
    const address = await engine.listen();
    const handlers = createHandlers({ engine: address, environment, openSession: engine.openSession });
    const { port, close } = await serve(handlers);
    engine.ends.push(close);
    engine.client = new ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure());
    engine.ends.push(() => engine.client.close());
    if (config !== null) await engine.configure(config);
    return engine;
  }

  stop(): void {
    for (const end of this.ends.splice(0).reverse()) end();
  }

  /** Fails with the ServiceError that a real engine would get. */
  call<Request, Response>(method: string, request: Request): Promise<Response> {
    type Method = (
      request: Request,
      callback: (error: ServiceError | null, response: Response) => void,
    ) => void;
    const methods = this.client as unknown as Record<string, Method>;
    return new Promise((resolve, reject) =>
      methods[method]!.call(this.client, request, (error, response) =>
        error === null ? resolve(response) : reject(error),
      ),
    );
  }

  configure(config: Properties): Promise<pb.ConfigureResponse> {
    return this.call("configure", new pb.ConfigureRequest().setArgs(struct(config)));
  }

  cancel(): Promise<Empty> {
    return this.call("cancel", new Empty());
  }

  async check(urn: string, news: Properties, olds: Properties = {}) {
    const request = new pb.CheckRequest().setUrn(urn).setNews(struct(news)).setOlds(struct(olds));
    const response = await this.call<pb.CheckRequest, pb.CheckResponse>("check", request);
    return {
      inputs: (response.getInputs()?.toJavaScript() ?? {}) as Properties,
      failures: response.getFailuresList().map((failure) => failure.getReason()),
    };
  }

  async create(urn: string, inputs: Properties, { preview = false, timeout = 0 } = {}) {
    const request = new pb.CreateRequest().setUrn(urn).setProperties(struct(inputs));
    const response = await this.call<pb.CreateRequest, pb.CreateResponse>(
      "create",
      request.setPreview(preview).setTimeout(timeout),
    );
    return answerOf(response);
  }

  async update(urn: string, id: string, olds: Properties, news: Properties, { preview = false } = {}) {
    const request = new pb.UpdateRequest().setUrn(urn).setId(id).setOlds(struct(olds)).setNews(struct(news));
    const response = await this.call<pb.UpdateRequest, pb.UpdateResponse>(
      "update",
      request.setPreview(preview),
    );
    return (response.getProperties()?.toJavaScript() ?? {}) as Properties;
  }

  /** Without a state as import asks. */
  async read(urn: string, id: string, state?: Properties, inputs?: Properties) {
    const request = new pb.ReadRequest().setUrn(urn).setId(id);
    if (state !== undefined) request.setProperties(struct(state));
    if (inputs !== undefined) request.setInputs(struct(inputs));
    const response = await this.call<pb.ReadRequest, pb.ReadResponse>("read", request);
    const answered = response.getInputs()?.toJavaScript() as Properties | undefined;
    // as RefreshStep.Apply of pkg/resource/deploy/step.go: inputs that are not given stay
    return { ...answerOf(response), inputs: answered ?? (response.getId() === "" ? undefined : inputs) };
  }

  async diff(
    urn: string,
    olds: Properties,
    news: Properties,
    options: { oldInputs?: Properties; ignore?: string[] } = {},
  ) {
    const request = new pb.DiffRequest().setUrn(urn).setId("edge-1/shop/prod/Attachment/web");
    request
      .setOlds(struct(olds))
      .setNews(struct(news))
      .setIgnorechangesList(options.ignore ?? []);
    request.setOldInputs(struct(options.oldInputs ?? olds));
    return (await this.call<pb.DiffRequest, pb.DiffResponse>("diff", request)).toObject();
  }

  delete(urn: string, id: string, state: Properties): Promise<Empty> {
    return this.call("delete", new pb.DeleteRequest().setUrn(urn).setId(id).setProperties(struct(state)));
  }

  private readonly openSession: OpenSession = async (connection) => {
    const session = this.host.open(connection);
    const call: AgentSession["call"] = (verb, params, options) => {
      if (!this.stuck.has(verb)) return session.call(verb, params, options);
      return new Promise((_, reject) =>
        options?.signal?.addEventListener("abort", () =>
          reject(new EbpfError("cancelled", `${verb}: cancelled`, {})),
        ),
      );
    };
    return { ...session, call };
  };

  private async listen(): Promise<string> {
    const server = new Server();
    server.addService(EngineService, {
      log: ({ request }: { request: LogRequest }, callback: (error: null, response: Empty) => void) => {
        const severity = request.getSeverity() === LogSeverity.WARNING ? "warning" : "info";
        this.lines.push(`${request.getUrn()} ${severity} ${request.getMessage()}`);
        callback(null, new Empty());
      },
    });
    this.ends.push(() => server.forceShutdown());
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    return `127.0.0.1:${port}`;
  }
}

function answerOf(response: pb.CreateResponse | pb.ReadResponse) {
  return {
    id: response.getId(),
    outputs: (response.getProperties()?.toJavaScript() ?? {}) as Properties,
    refreshBeforeUpdate: response.getRefreshBeforeUpdate(),
  };
}
