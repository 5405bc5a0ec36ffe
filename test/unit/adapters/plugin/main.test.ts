import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { credentials } from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { version } from "../../../../package.json";

const root = resolve(__dirname, "../../../..");

describe("the process pulumi-resource-ebpf", function () {
  this.timeout(60_000);
  const children: ChildProcess[] = [];
  let engine: Server;
  let address: string;

  before(async () => {
    engine = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(engine, "listening");
    address = `127.0.0.1:${(engine.address() as AddressInfo).port}`;
  });

  after(() => {
    engine.close();
    for (const child of children) child.kill("SIGKILL");
  });

  /** The plugin, once it has printed its port. */
  async function start(
    ...args: string[]
  ): Promise<{ child: ChildProcess; client: ResourceProviderClient; line: string }> {
    const main = resolve(root, "provider/adapters/plugin/main.ts");
    const child = spawn(process.execPath, ["--require", "tsx/cjs", main, ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
    return {
      child,
      line,
      client: new ResourceProviderClient(`127.0.0.1:${line}`, credentials.createInsecure()),
    };
  }

  function call<Response>(
    client: ResourceProviderClient,
    method: string,
    request: unknown,
  ): Promise<Response> {
    type Method = (request: unknown, callback: (error: Error | null, response: Response) => void) => void;
    const methods = client as unknown as Record<string, Method>;
    return new Promise((done, fail) =>
      methods[method]!.call(client, request, (error, response) =>
        error === null ? done(response) : fail(error),
      ),
    );
  }

  it("prints its port and nothing else, answers who it is, and ends at once when it is asked to", async () => {
    const { child, client, line } = await start("--logtostderr", "-v=9", "--tracing", "http://x", address);
    assert.match(line, /^\d+$/);
    const more: unknown[] = [];
    child.stdout!.on("data", (data) => more.push(data));
    const handshake = new pb.ProviderHandshakeRequest().setEngineAddress(address);
    await call(client, "handshake", handshake);
    const info = await call<{ getVersion(): string }>(client, "getPluginInfo", new Empty());
    assert.equal(info.getVersion(), version);
    const schema = await call<pb.GetSchemaResponse>(client, "getSchema", new pb.GetSchemaRequest());
    assert.equal(schema.getSchema(), readFileSync(resolve(root, "schema.json"), "utf8"));
    await assert.rejects(call(client, "parameterize", new pb.ParameterizeRequest()), /UNIMPLEMENTED/);
    await call(client, "cancel", new Empty());
    client.close();
    child.kill("SIGINT");
    const [code] = (await once(child, "exit")) as [number];
    assert.equal(code, 0);
    assert.deepEqual(more, []);
  });

  it("ends by itself when its engine is gone", async () => {
    const dying = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(dying, "listening");
    const { child, client } = await start(`127.0.0.1:${(dying.address() as AddressInfo).port}`);
    client.close();
    dying.close();
    assert.deepEqual(await once(child, "exit"), [1, null]);
  });

  it("lives without an engine, for one to attach to it", async () => {
    const { child, client } = await start();
    await call(client, "getPluginInfo", new Empty());
    client.close();
    assert.equal(child.exitCode, null);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });
});
