/**
 * The contract of Attachment, one and the same for every kind of hook, over real SSH and the real agent: attach,
 * read back, misfit refused, program updated under traffic, detached from outside and repaired, interface removed,
 * deleted twice. One text of it for every kind of host.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { CheckFailed, ManagedResource } from "../../support/managed-resource";
import type { TestSite } from "../../support/host";
import { bpffsOf, says } from "../filter";
import { type AttachmentKind, guarded } from "./kinds";
import { type ProbeLoad, startProbe } from "./probe";

const source = resolve(__dirname, "../../fixtures/e2e/contract.bpf.c");

/** Tests of the contract on a site that is up when the first of them runs. */
export function attachmentContract(kind: AttachmentKind, site: () => TestSite, load?: ProbeLoad): void {
  let program: ManagedResource;
  let attachment: ManagedResource;
  let globals: Record<string, unknown>;

  const programArgs = (version: number) => ({
    connection: site().host().connection,
    source,
    load: [...new Set([kind.entrypoint, kind.misfit])],
    globals: { ...globals, version },
  });
  const attachmentArgs = () => ({
    connection: site().host().connection,
    program: program.entrypoint(kind.entrypoint),
    ...kind.args(),
  });
  const loadedId = (): number => {
    const entrypoints = program.state["entrypoints"] as Record<string, { programId: number }>;
    return entrypoints[kind.entrypoint]!.programId;
  };

  before(async () => {
    await site().host().exec(["mkdir", "-p", guarded]);
    globals = (await kind.globals?.(site().host())) ?? {};
    program = await ManagedResource.create("Program", "guard", programArgs(1));
  });

  it("refuses a program of another type, and leaves the hook empty", async () => {
    const args = { ...attachmentArgs(), program: program.entrypoint(kind.misfit) };
    await assert.rejects(ManagedResource.create("Attachment", "guard", args), (error) => {
      assert.ok(error instanceof CheckFailed);
      assert.match(error.message, new RegExp(kind.misfit));
      return true;
    });
    assert.deepEqual(await kind.attached(site().host()), []);
  });

  it("runs the program on the hook, as the kernel shows", async () => {
    attachment = await ManagedResource.create("Attachment", "guard", attachmentArgs());
    assert.deepEqual(await kind.attached(site().host()), [loadedId()]);
    const link = attachment.state["link"] as { programId: number };
    assert.equal(link.programId, loadedId());
    assert.deepEqual(await attachment.refresh(), []);
    assert.equal(await attachment.update(attachmentArgs()), false, "nothing to update");
  });

  it("judges without a gap while the program is replaced", async () => {
    const before = loadedId();
    const probe = await startProbe(site(), kind.probe, load);
    for (const version of [2, 3, 4]) {
      assert.equal(await program.update(programArgs(version)), true);
      assert.deepEqual(await kind.attached(site().host()), [loadedId()]);
    }
    assert.notEqual(loadedId(), before);
    const { slipped, refused, passed, blocked } = await probe.stop();
    assert.equal(slipped, 0, "nothing passed that either version refuses");
    assert.equal(blocked, 0, "nothing was refused that either version lets pass");
    assert.ok(passed > 10, `${passed} passed`);
    if (!["sock_release", "exec"].includes(kind.probe)) assert.ok(refused > 10, `${refused} refused`);
  });

  it("reports what was detached from outside, and repairs it", async () => {
    await kind.detach(site().host());
    assert.deepEqual(await kind.attached(site().host()), []);
    const drift = await attachment.refresh();
    assert.equal(drift?.length, 1, JSON.stringify(drift));
    assert.match(drift![0]!, /detached|pin/);
    assert.equal(await attachment.update(attachmentArgs()), true);
    assert.deepEqual(await kind.attached(site().host()), [loadedId()]);
    assert.deepEqual(await attachment.refresh(), []);
  });

  if (kind.onInterface) {
    it("reports an interface that is gone, and says so where it cannot repair", async () => {
      await site().host().removeInterface("eth0");
      const drift = await attachment.refresh();
      assert.match(drift?.join() ?? "", /eth0/);
      await assert.rejects(attachment.update(attachmentArgs()), says(/eth0/));
    });

    it("comes back when the interface does", async () => {
      await site().host().plugDataInterface();
      assert.notDeepEqual(await attachment.refresh(), []);
      assert.equal(await attachment.update(attachmentArgs()), true);
      assert.deepEqual(await kind.attached(site().host()), [loadedId()]);
    });
  } else if (kind.probe !== "exec") {
    it("reports a cgroup that is gone, and says so where it cannot repair", async () => {
      await site().host().exec(["rmdir", guarded]);
      const drift = await attachment.refresh();
      assert.match(drift?.join() ?? "", /guarded/);
      await assert.rejects(attachment.update(attachmentArgs()), says(/guarded/));
      await site().host().exec(["mkdir", guarded]);
      assert.equal(await attachment.update(attachmentArgs()), true);
      assert.deepEqual(await kind.attached(site().host()), [loadedId()]);
    });
  }

  it("is gone after delete, and a second delete is no error", async () => {
    await attachment.delete();
    assert.deepEqual(await kind.attached(site().host()), []);
    await attachment.delete();
    assert.equal(await attachment.refresh(), null);
    await program.delete();
    assert.deepEqual(await bpffsOf(site().host()), []);
  });
}
