import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sshFlow } from "../../../provider/agent/ssh-flow";

const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n";

describe("SSH flow", () => {
  let directory: string;
  before(() => (directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-flow-"))));
  after(() => rmSync(directory, { recursive: true }));

  /** As if these were the kernel's sockets: `<local> <peer> <state>`. */
  function found(sshConnection: string, ...sockets: string[]) {
    const file = join(directory, "tcp");
    writeFileSync(
      file,
      header + sockets.map((socket, at) => `   ${at}: ${socket} 00000000:00000000\n`).join(""),
    );
    return sshFlow(sshConnection, [file]);
  }

  it("is a socket of the kernel's with both ends", () => {
    const flow = {
      peer: { address: "192.0.2.9", port: 50122 },
      local: { address: "192.0.2.1", port: 22 },
    };
    const said = "192.0.2.9 50122 192.0.2.1 22";
    assert.deepEqual(found(said, "010200C0:0016 090200C0:C3CA 01"), flow);
    assert.equal(found(said, "010200C0:0016 090200C0:C3CB 01"), null, "another port");
    assert.equal(found(said, "090200C0:C3CA 010200C0:0016 01"), null, "the other direction");
  });

  it("is none once it is not established any more", () => {
    assert.equal(found("192.0.2.9 50122 192.0.2.1 22", "010200C0:0016 090200C0:C3CA 06"), null);
  });

  it("is found where a socket of IPv6 has the IPv4 address", () => {
    const socket = "0000000000000000FFFF0000010200C0:0016 0000000000000000FFFF0000090200C0:C3CA 01";
    assert.equal(found("192.0.2.9 50122 192.0.2.1 22", socket)?.peer.address, "192.0.2.9");
  });

  it("is found by IPv6, without the zone of a link-local address", () => {
    const socket = "000080FE000000000000000001000000:0016 000080FE000000000000000002000000:C3CA 01";
    assert.deepEqual(found("fe80::2%eth0 50122 fe80::1%eth0 22", socket), {
      peer: { address: "fe80::2", port: 50122 },
      local: { address: "fe80::1", port: 22 },
    });
  });

  it("is none for a text that is no SSH_CONNECTION", () => {
    for (const said of ["", "UNKNOWN 65535 UNKNOWN 65535", "192.0.2.9 50122"])
      assert.equal(found(said, "010200C0:0016 090200C0:C3CA 01"), null);
  });
});
