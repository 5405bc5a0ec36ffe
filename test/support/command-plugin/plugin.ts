/**
 * A stand-in for the plugin of @pulumi/command 1.2.1, for machines that cannot download the real one: same wire, same
 * rules of diff, same paths of copies, and it really runs its commands over SSH. In one thing it is stricter, as tests
 * want it: a connection without `hostKey` is refused, where the real one trusts any host.
 *
 * Owns: remote.Command and remote.CopyToRemote. Does not own: all else of that package (see index.ts for the choice).
 */
import { posix } from "node:path";
import { readdirSync, readFileSync, statSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import * as pluginMessages from "@pulumi/pulumi/proto/plugin_pb";
import * as services from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as messages from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { type JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import { type Client, type SFTPWrapper } from "ssh2";
import { dial, type Connection } from "./ssh";

type Properties = Record<string, unknown>;

const VERSION = "1.2.1";
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Secrets come wrapped, also where the answer says that it takes none. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  const properties = value as Properties;
  if (properties[SIGNATURE] === SECRET) return plain(properties["value"]);
  return Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, plain(inner)]));
}

function read(struct: Struct | undefined): Properties {
  return plain(struct?.toJavaScript() ?? {}) as Properties;
}

function write(properties: Properties): Struct {
  return Struct.fromJavaScript(properties as Record<string, JavaScriptValue>);
}

interface Operation {
  type: string;
  verb: "create" | "update" | "delete";
  inputs: Properties;
}

/** What the resource then is, besides its inputs. */
async function run({ type, verb, inputs }: Operation): Promise<Properties> {
  const connection = inputs["connection"] as Connection;
  if (type === "command:remote:CopyToRemote") {
    if (verb === "delete") return {};
    const { path } = inputs["source"] as { path: string };
    await withHost(connection, (client) => copy(client, path, inputs["remotePath"] as string));
    return {};
  }
  if (type !== "command:remote:Command") throw new Error(`this stand-in has no ${type}`);
  const command = (inputs[verb] ?? (verb === "update" ? inputs["create"] : undefined)) as string | undefined;
  if (command === undefined) return {};
  const output = await withHost(connection, (client) => execute(client, command, inputs["stdin"] as string));
  if (output.code !== 0) {
    throw new Error(
      `Process exited with status ${output.code}: running "${command}":\n${output.stdout}${output.stderr}`,
    );
  }
  return { stdout: output.stdout.replace(/\n$/, ""), stderr: output.stderr.replace(/\n$/, "") };
}

/** One dial per operation. */
async function withHost<T>(connection: Connection, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await dial(connection);
  try {
    return await work(client);
  } finally {
    client.end();
  }
}

interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

function execute(client: Client, command: string, stdin = ""): Promise<Output> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error) return reject(error);
      const output: Output = { code: -1, stdout: "", stderr: "" };
      channel.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
      channel.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
      channel.on("exit", (code: number | null) => (output.code = code ?? -1));
      channel.on("close", () => resolve(output));
      channel.end(stdin);
    });
  });
}

/** Into `target` when that is a directory already, as a directory of its own; else as `target`. */
async function copy(client: Client, source: string, target: string): Promise<void> {
  const sftp = await new Promise<SFTPWrapper>((resolve, reject) =>
    client.sftp((error, wrapper) => (error ? reject(error) : resolve(wrapper))),
  );
  const isDirectory = await new Promise<boolean>((resolve) =>
    sftp.stat(target, (error, stats) => resolve(!error && stats.isDirectory())),
  );
  await put(sftp, source, isDirectory ? posix.join(target, posix.basename(source)) : target);
}

async function put(sftp: SFTPWrapper, source: string, target: string): Promise<void> {
  if (statSync(source).isDirectory()) {
    await new Promise<void>((resolve) => sftp.mkdir(target, () => resolve())); // there already, or told below
    for (const name of readdirSync(source))
      await put(sftp, posix.join(source, name), posix.join(target, name));
    return;
  }
  await new Promise<void>((resolve, reject) =>
    sftp.writeFile(target, readFileSync(source), (error) => (error ? reject(error) : resolve())),
  );
}

type Handler<Request, Response> = (request: Request) => Response | Promise<Response>;

/** A handler that throws would end the process. */
function unary<Request, Response>(
  handler: Handler<Request, Response>,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    void Promise.resolve(call.request)
      .then(handler)
      .then(
        (response) => callback(null, response),
        (error: Error) => callback({ code: grpc.status.UNKNOWN, details: error.message }),
      );
  };
}

function typeOf(urn: string): string {
  return urn.split("::")[2]!.split("$").at(-1)!;
}

const handlers = {
  getPluginInfo: unary(() => {
    const info = new pluginMessages.PluginInfo();
    info.setVersion(VERSION);
    return info;
  }),
  checkConfig: unary(echo),
  diffConfig: unary(() => new messages.DiffResponse()),
  configure: unary(() => new messages.ConfigureResponse()),
  cancel: unary(() => new Empty()),
  check: unary(echo),
  diff: unary((request: messages.DiffRequest) => {
    const [olds, news] = [read(request.getOldInputs()), read(request.getNews())];
    const names = [...new Set([...Object.keys(olds), ...Object.keys(news)])].filter(
      (name) => !name.startsWith("__") && JSON.stringify(olds[name]) !== JSON.stringify(news[name]),
    );
    const response = new messages.DiffResponse();
    response.setChanges(
      names.length > 0
        ? messages.DiffResponse.DiffChanges.DIFF_SOME
        : messages.DiffResponse.DiffChanges.DIFF_NONE,
    );
    response.setDiffsList(names);
    response.setReplacesList(names.filter((name) => name === "triggers"));
    return response;
  }),
  create: unary(async (request: messages.CreateRequest) => {
    const inputs = read(request.getProperties());
    const response = new messages.CreateResponse();
    response.setId(`${Date.now().toString(36)}${Math.random().toString(36).slice(2)}`);
    const outputs = await run({ type: typeOf(request.getUrn()), verb: "create", inputs });
    response.setProperties(write({ ...inputs, ...outputs }));
    return response;
  }),
  update: unary(async (request: messages.UpdateRequest) => {
    const [olds, inputs] = [read(request.getOlds()), read(request.getNews())];
    const response = new messages.UpdateResponse();
    const outputs = await run({ type: typeOf(request.getUrn()), verb: "update", inputs });
    const { stdout, stderr } = olds;
    const former = stdout === undefined ? {} : { stdout, stderr };
    response.setProperties(write({ ...former, ...inputs, ...outputs }));
    return response;
  }),
  delete: unary(async (request: messages.DeleteRequest) => {
    const inputs = read(request.getProperties());
    await run({ type: typeOf(request.getUrn()), verb: "delete", inputs });
    return new Empty();
  }),
  read: unary((request: messages.ReadRequest) => {
    const response = new messages.ReadResponse();
    response.setId(request.getId());
    response.setProperties(request.getProperties());
    response.setInputs(request.getInputs());
    return response;
  }),
};

function echo(request: messages.CheckRequest): messages.CheckResponse {
  const response = new messages.CheckResponse();
  response.setInputs(request.getNews());
  return response;
}

const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
server.addService(
  services.ResourceProviderService as unknown as grpc.ServiceDefinition,
  handlers as unknown as grpc.UntypedServiceImplementation,
);
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`${port}\n`);
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(0));
