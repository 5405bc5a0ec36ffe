import assert from "node:assert/strict";
import { EbpfError } from "../../../provider/errors";
import { UNKNOWN } from "../../../provider/lifecycle";
import { attachmentInputs, Host, unreachable } from "./host";

describe("check", () => {
  const offline = { "ebpf:preview": "offline" };

  async function problemsOf(change: Record<string, unknown>): Promise<string[]> {
    const { failures } = await new Host()
      .lifecycle(offline)
      .check("Attachment", undefined, attachmentInputs(change));
    return failures.map(({ property, reason }) => `${property}: ${reason}`);
  }

  it("fills in defaults and an empty drift", async () => {
    const { inputs, failures } = await new Host()
      .lifecycle(offline)
      .check("Attachment", undefined, attachmentInputs({ drift: ["detached from eth0"] }));
    assert.deepEqual(failures, []);
    assert.deepEqual(inputs["xdp"], { interface: "eth0", mode: "auto", allowGap: false });
    assert.deepEqual(inputs["drift"], []);
  });

  it("keeps the Spec id of the state", async () => {
    const olds = attachmentInputs({ specId: "shop/prod/Attachment/former" });
    const { inputs } = await new Host().lifecycle(offline).check("Attachment", olds, attachmentInputs());
    assert.equal(inputs["specId"], "shop/prod/Attachment/former");
  });

  it("refuses a newcomer with the former name of a renamed resource", async () => {
    const lifecycle = new Host().lifecycle(offline);
    const renamed = attachmentInputs({ specId: "shop/prod/Attachment/renamed" });
    assert.deepEqual((await lifecycle.check("Attachment", attachmentInputs(), renamed)).failures, []);
    // a replacement is checked twice, the second time without a state
    assert.deepEqual((await lifecycle.check("Attachment", attachmentInputs(), renamed)).failures, []);
    const { failures } = await lifecycle.check("Attachment", undefined, attachmentInputs());
    assert.match(failures[0]!.reason, /"web" and Attachment "renamed" are both shop\/prod\/Attachment\/web/);
  });

  it("reports all problems together, by their paths", async () => {
    const problems = await problemsOf({
      xdp: { interface: "", mode: "fast", mod: 1 },
      conection: {},
      tcx: 1,
    });
    assert.deepEqual(problems.map((text) => text.split(": ")[0]).sort(), [
      "conection",
      "tcx",
      "xdp.interface",
      "xdp.mod",
      "xdp.mode",
    ]);
  });

  it("suggests the property that was probably meant", async () => {
    assert.deepEqual(await problemsOf({ xdp: { interface: "eth0", netn: "blue" } }), [
      'xdp.netn: unknown property; did you mean "netns"?',
    ]);
    assert.deepEqual(await problemsOf({ conection: {} }), [
      'conection: unknown property; did you mean "connection"?',
    ]);
  });

  it("says what is missing and what is expected", async () => {
    assert.deepEqual(await problemsOf({ connection: undefined }), ["connection: is missing"]);
    assert.deepEqual(await problemsOf({ xdp: { interface: 7 } }), [
      "xdp.interface: expected string, received number",
    ]);
    assert.deepEqual(await problemsOf({ xdp: { interface: "eth0", mode: "fast" } }), [
      "xdp.mode: expected one of auto, native, generic, offload",
    ]);
  });

  it("answers an unknown kind with a failure, not an exception", async () => {
    const { failures } = await new Host().lifecycle().check("Firewall", undefined, {});
    assert.match(failures[0]!.reason, /"Firewall".*has Program, Map, MapEntries, Attachment/);
  });

  describe("with unknown values", () => {
    async function check(change: Record<string, unknown>) {
      const host = new Host();
      const outcome = await host.lifecycle().check("Attachment", undefined, attachmentInputs(change));
      assert.deepEqual(host.dials, [], "nobody is asked about what is not known yet");
      return outcome;
    }

    it("lets them stand, at any depth and in place of any type", async () => {
      for (const change of [
        { xdp: UNKNOWN },
        { xdp: { interface: UNKNOWN } },
        { xdp: { interface: "eth0", allowGap: UNKNOWN } },
        { program: UNKNOWN, connection: UNKNOWN },
        { connection: { host: UNKNOWN, port: UNKNOWN } },
      ]) {
        const { inputs, failures } = await check(change);
        assert.deepEqual(failures, []);
        for (const [name, value] of Object.entries(change)) assert.deepEqual(inputs[name], value);
      }
    });

    it("still checks what is known", async () => {
      const { failures } = await check({
        connection: { host: UNKNOWN },
        xdp: { interface: "eth0", mode: "fast" },
      });
      assert.deepEqual(
        failures.map(({ property }) => property),
        ["xdp.mode"],
      );
    });

    it("still computes what does not depend on them", async () => {
      const { inputs } = await check({ connection: { host: UNKNOWN } });
      assert.deepEqual(inputs["xdp"], { interface: "eth0", mode: "auto", allowGap: false });
    });

    it("still resolves the known rest against itself", async () => {
      const program = { spec: "a/b/Program/c", entrypoint: "count", type: "sched_cls" };
      const { failures } = await check({ connection: { host: UNKNOWN }, program });
      assert.match(failures[0]!.reason, /"count" is a program of type sched_cls; the hook xdp takes xdp/);
    });
  });

  describe("plan", () => {
    it("is left out once the update has begun: apply finds all that it would", async () => {
      const host = new Host();
      const lifecycle = host.lifecycle();
      lifecycle.beginUpdate();
      assert.deepEqual((await lifecycle.check("Attachment", undefined, attachmentInputs())).failures, []);
      assert.deepEqual([host.verbs(), host.reports], [[], []]);
    });

    it("asks the host about a new resource, and shows what it says", async () => {
      const host = new Host();
      host.planned = {
        changes: ["attach to eth0"],
        warnings: [{ part: "link", message: "generic mode is slow" }],
      };
      const { failures } = await host.lifecycle().check("Attachment", undefined, attachmentInputs());
      assert.deepEqual(failures, []);
      assert.deepEqual(host.verbs(), ["plan"]);
      assert.deepEqual(host.reports, [
        "web: on deploy@edge-1: attach to eth0",
        "warning: web: on deploy@edge-1: link: generic mode is slow",
      ]);
    });

    it("asks nobody when nothing changed", async () => {
      const host = new Host();
      const lifecycle = host.lifecycle();
      const { inputs } = await host.lifecycle(offline).check("Attachment", undefined, attachmentInputs());
      await lifecycle.check("Attachment", inputs, attachmentInputs());
      assert.deepEqual(host.dials, []);
    });

    it("asks once for one Spec, however often it is checked", async () => {
      const host = new Host();
      const lifecycle = host.lifecycle();
      await lifecycle.check("Attachment", undefined, attachmentInputs());
      await lifecycle.check("Attachment", undefined, attachmentInputs());
      assert.deepEqual(host.verbs(), ["plan"]);
    });

    it("turns the host's problems into failures at their property", async () => {
      const host = new Host();
      const wire = new EbpfError(
        "not-found",
        "attach xdp to eth9: no such interface",
        { what: "interface", name: "eth9" },
        { property: "xdp.interface", remedy: "there are eth0, lo" },
      ).toWire();
      host.planned = { problems: [wire] };
      const { failures } = await host.lifecycle().check("Attachment", undefined, attachmentInputs());
      assert.deepEqual(failures, [
        {
          property: "xdp.interface",
          reason: "deploy@edge-1: attach xdp to eth9: no such interface; there are eth0, lo",
        },
      ]);
    });

    it("warns once of an unreachable host, and dials it once", async () => {
      const host = new Host();
      host.failure = { verb: "dial", error: unreachable() };
      const lifecycle = host.lifecycle();
      for (const name of ["a", "b", "c"]) {
        const inputs = attachmentInputs({ specId: `shop/prod/Attachment/${name}` });
        assert.deepEqual((await lifecycle.check("Attachment", undefined, inputs)).failures, []);
      }
      assert.equal(host.dials.length, 1);
      assert.deepEqual(host.reports, ["warning: deploy@edge-1 is unreachable: not planned there"]);
    });

    it("names a host key that does not match, as a warning", async () => {
      const host = new Host();
      const error = new EbpfError("transport", "verify the host key: it is not the one of known_hosts", {
        phase: "host-key",
      });
      host.failure = { verb: "dial", error };
      const { failures } = await host.lifecycle().check("Attachment", undefined, attachmentInputs());
      assert.deepEqual(failures, []);
      assert.match(
        host.reports[0]!,
        /^warning: deploy@edge-1 cannot be asked \(verify the host key: .*not planned/,
      );
    });

    it("plans no more once something is applied: that is no preview", async () => {
      const host = new Host();
      const lifecycle = host.lifecycle();
      const { inputs } = await lifecycle.check("Attachment", undefined, attachmentInputs());
      await lifecycle.create("Attachment", inputs);
      host.calls.length = 0;
      const other = attachmentInputs({ specId: "shop/prod/Attachment/other" });
      await lifecycle.check("Attachment", undefined, other);
      assert.deepEqual(host.verbs(), []);
    });
  });
});
