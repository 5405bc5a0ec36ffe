import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect as dial, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { EbpfError } from "../../provider/errors";
import { decodeFrame, encodeFrame } from "../../provider/protocol/framing";
import { connectRpc, type Handlers, serve } from "../../provider/protocol/rpc";

/** Two ends of one TCP connection: operator, agent. */
async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const operator = dial((server.address() as { port: number }).port, "127.0.0.1").setNoDelay();
  const [agent] = (await once(server, "connection")) as [Socket];
  server.close();
  return [operator, agent.setNoDelay()];
}

const hello = {
  protocol: 1,
  agent: "development",
  pid: 1,
  kernel: "6.18",
  architecture: "x64",
  bootId: "b",
} as const;

describe("binary framing", () => {
  it("returns what it was given, with binary values at any depth", () => {
    const message = {
      a: [new Uint8Array([1, 2]), { b: Buffer.from("x"), "a/b.c": new Uint8Array(0) }],
      $bytes: [0, 1],
      text: "é€😀",
      nothing: null,
    };
    assert.deepEqual(decodeFrame(encodeFrame(message)), {
      ...message,
      a: [Buffer.from([1, 2]), { b: Buffer.from("x"), "a/b.c": Buffer.alloc(0) }],
    });
  });

  it("leaves the message it was given untouched", () => {
    const message = { a: { b: new Uint8Array([1]) }, c: [new Uint8Array([2])] };
    encodeFrame(message);
    assert.deepEqual(message, { a: { b: new Uint8Array([1]) }, c: [new Uint8Array([2])] });
  });

  it("refuses a frame that is cut at any byte or longer than announced", () => {
    const frame = Buffer.from(encodeFrame({ a: new Uint8Array([1, 2, 3]) }));
    for (let length = 0; length < frame.length; length++) {
      assert.throws(() => decodeFrame(frame.subarray(0, length)), `cut at byte ${length}`);
    }
    assert.throws(() => decodeFrame(Buffer.concat([frame, Buffer.from("x")])), /1 bytes too many/);
  });

  it("refuses a path into a prototype", () => {
    const json = Buffer.from('{"message":{},"binary":[{"path":["__proto__","polluted"],"length":1}]}');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(json.length);
    assert.throws(() => decodeFrame(Buffer.concat([length, json, Buffer.from("x")])), /its JSON lacks/);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });
});

describe("rpc", () => {
  let ends: Socket[] = [];
  let served: Promise<void> | undefined;

  async function connect(given: Partial<Handlers>) {
    const [operator, agent] = await socketPair();
    ends = [operator, agent];
    served = serve(agent, agent, given as Handlers);
    return connectRpc(operator, { host: "root@edge-1" });
  }

  afterEach(async () => {
    for (const end of ends) end.destroy();
    await served;
    ends = [];
    served = undefined;
  });

  it("carries parameters and results, binary ones included", async () => {
    const data = randomBytes(100);
    const client = await connect({
      hello: () => hello,
      testRun: (params) => ({ returnValue: params.repeat, data: params.data.subarray(1), durationNs: 5 }),
    });
    assert.deepEqual(await client.call("hello", { protocol: 1 }), hello);
    const answer = await client.call("testRun", { spec: "s", entrypoint: "e", data, repeat: 2 });
    assert.equal(answer.returnValue, 2);
    assert.deepEqual(Buffer.from(answer.data), data.subarray(1));
  });

  it("returns null for null", async () => {
    const client = await connect({ "blob.put": () => null });
    assert.equal(await client.call("blob.put", { blobs: {} }), null);
  });

  it("carries 16 MB unchanged", async () => {
    const blob = randomBytes(16 << 20);
    let received: Uint8Array | undefined;
    const client = await connect({
      "blob.put": ({ blobs }) => {
        received = blobs["d"];
        return null;
      },
    });
    await client.call("blob.put", { blobs: { d: blob } });
    assert.ok(received && Buffer.compare(blob, received) === 0);
  });

  it("restores the agent's error with code, details, context and host", async () => {
    const client = await connect({
      apply: () => {
        throw new EbpfError(
          "not-found",
          "attach xdp to eth9: no such interface",
          { what: "interface", name: "eth9" },
          { property: "xdp.interface", remedy: "name one of eth0, eth1" },
        );
      },
    });
    await assert.rejects(client.call("apply", {} as never), (error: unknown) => {
      assert.ok(EbpfError.is(error, "not-found"));
      assert.equal(error.details.name, "eth9");
      assert.deepEqual(error.context, {
        host: "root@edge-1",
        property: "xdp.interface",
        remedy: "name one of eth0, eth1",
      });
      return true;
    });
  });

  it("reports an unforeseen error of a handler as internal", async () => {
    const client = await connect({
      list: () => {
        throw new TypeError("x is not a function");
      },
    });
    await assert.rejects(client.call("list", {}), { code: "internal", message: "x is not a function" });
  });

  it("names a verb that the agent does not have", async () => {
    const client = await connect({});
    await assert.rejects(client.call("probe", {}), {
      code: "transport",
      details: { phase: "protocol" },
      message: 'call "probe": the agent has no such verb',
    });
  });

  it("aborts the handler's signal when the caller cancels, and returns the handler's answer", async () => {
    const abort = new AbortController();
    const client = await connect({
      plan: async (_params, { signal }) => {
        setTimeout(() => abort.abort(), 5);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        throw new EbpfError("cancelled", "plan: cancelled", {});
      },
      hello: () => hello,
    });
    await assert.rejects(client.call("plan", {} as never, { signal: abort.signal }), { code: "cancelled" });
    assert.deepEqual(await client.call("hello", { protocol: 1 }), hello);
  });

  it("does not send a call that was cancelled before", async () => {
    let called = false;
    const client = await connect({
      list: () => {
        called = true;
        return [];
      },
      hello: () => hello,
    });
    await assert.rejects(client.call("list", {}, { signal: AbortSignal.abort() }), { code: "cancelled" });
    await client.call("hello", { protocol: 1 });
    assert.equal(called, false);
  });

  it("tells each caller of a verb its own progress", async () => {
    const client = await connect({
      observe: ({ ids: [id = ""] }, { progress }) => {
        for (let done = 1; done <= 3; done++) progress({ id, message: `step of ${id}`, done, total: 3 });
        return [null];
      },
    });
    const seen: Record<string, unknown[]> = { a: [], b: [] };
    await Promise.all(
      ["a", "b"].map((id) =>
        client.call("observe", { ids: [id] }, { onProgress: (progress) => seen[id]!.push(progress) }),
      ),
    );
    for (const id of ["a", "b"]) {
      assert.deepEqual(
        seen[id],
        [1, 2, 3].map((done) => ({ verb: "observe", id, message: `step of ${id}`, done, total: 3 })),
      );
    }
  });

  it("fails every call under way, and later ones, when the connection is lost", async () => {
    const client = await connect({ list: () => new Promise(() => {}), observe: () => new Promise(() => {}) });
    served = undefined; // its calls never return
    const calls = [client.call("list", {}), client.call("observe", { ids: ["x"] })];
    setTimeout(() => ends[1]!.destroy(), 5);
    for (const result of await Promise.allSettled(calls)) {
      assert.equal(result.status, "rejected");
      assert.ok(EbpfError.is(result.reason, "transport"));
      assert.equal(result.reason.details.phase, "closed");
      assert.equal(result.reason.context.host, "root@edge-1");
    }
    await assert.rejects(client.call("list", {}), { code: "transport", details: { phase: "closed" } });
    assert.equal((await client.closed).details, (await client.closed).details);
  });

  it("aborts the handlers and waits for them when the operator is gone", async () => {
    let finished = false;
    const client = await connect({
      apply: async (_params, { signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await new Promise((resolve) => setTimeout(resolve, 20));
        finished = true;
        throw new EbpfError("cancelled", "apply: cancelled", {});
      },
      hello: () => hello,
    });
    const call = client.call("apply", {} as never);
    call.catch(() => {});
    await client.call("hello", { protocol: 1 });
    ends[0]!.destroy();
    await assert.rejects(call, { code: "transport" });
    await served;
    assert.equal(finished, true);
  });

  for (const [what, bytes] of Object.entries({
    "text without a header": "Welcome to edge-1\r\n\r\n",
    "a length that is no number": "Content-Length: abc\r\n\r\n",
    "a body that is no frame": "Content-Length: 8\r\n\r\nabcdefgh",
    "a body that is no JSON": "Content-Length: 7\r\n\r\n\0\0\0\x03abc",
  })) {
    it(`closes with a protocol error on ${what}`, async () => {
      const [operator, agent] = await socketPair();
      ends = [operator, agent];
      const client = connectRpc(operator, { host: "edge-1" });
      const call = client.call("list", {} as never);
      agent.resume();
      agent.write(bytes);
      await assert.rejects(call, { code: "transport", details: { phase: "protocol" } });
    });
  }

  it("answers a value that JSON cannot express with an error and goes on", async () => {
    const client = await connect({ observe: () => ({ status: 1n }) as never, hello: () => hello });
    await assert.rejects(client.call("observe", { ids: ["x"] }), (error) => EbpfError.is(error, "transport"));
    await assert.rejects(client.call("observe", { ids: [1n] } as never), (error) =>
      EbpfError.is(error, "internal"),
    );
    assert.deepEqual(await client.call("hello", { protocol: 1 }), hello);
  });
});
