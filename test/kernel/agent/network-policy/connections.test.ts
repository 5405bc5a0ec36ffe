/** Connections of the kernel's own TCP: of a peer that forgets them, and of answers that take another way. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Daemon } from "../../../support/daemon";
import { until } from "../../../support/until";
import { closesEverything, ip } from "../../bpf/support";
import { PolicyHost, tcp } from "./support";

/** Answers each line of each connection with the same. */
const SERVER = `
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
with socketserver.ThreadingTCPServer(("", 7000), Echo) as server:
    print("ready", flush=True)
    server.serve_forever()
`;
/**
 * Talks twice over one address and port. In between the socket is gone without a word, as by a power cut: of one in
 * repair mode the kernel sends neither FIN nor RST (TCP_REPAIR, Linux 3.5).
 */
const CLIENT = `
import socket, sys
_, address, times = sys.argv
def talk():
    one = socket.create_connection((address, 7000), timeout=30, source_address=("", 45000))
    one.sendall(b"hello\\n")
    assert one.recv(6) == b"hello\\n"
    print("answered", flush=True)
    return one
for _ in range(int(times)):
    one = talk()
    one.setsockopt(socket.IPPROTO_TCP, 19, 1)
    one.close()
`;

describe("connections under network policies", function () {
  this.timeout(90_000);
  closesEverything();
  let at: PolicyHost;
  let daemons: Daemon[];

  beforeEach(() => {
    at = new PolicyHost(2);
    daemons = [];
  });
  afterEach(async () => {
    for (const one of daemons) await one.end();
    await at.end();
  });

  type Side = "inside" | "outside";

  async function serve(side: Side): Promise<void> {
    const server = new Daemon((work) => at.network[side](work), "python3", "-c", SERVER);
    daemons.push(server);
    await until("it listens", () => server.count(/ready/g) > 0);
  }

  /** Connects so many times in a row, and wants an answer each time. */
  async function talk(side: Side, address: string, times = 1): Promise<void> {
    const client = new Daemon(
      (work) => at.network[side](work),
      "python3",
      "-c",
      CLIENT,
      address,
      String(times),
    );
    daemons.push(client);
    const status = await client.ended();
    assert.deepEqual([status, client.count(/answered/g)], [0, times], client.log);
  }

  const echo = { name: "echo", ports: tcp(7000) };

  it("30, 31: a peer that rebooted connects again by the same ports", async () => {
    await at.apply(at.policy("web", { ingress: [echo], egress: [] }));
    await serve("inside");
    await talk("outside", "10.98.0.1", 2);
    assert.ok(at.network.keptIn(7000), "the host opens none");
  });

  it("30, 31: the host connects again by the same ports after it rebooted", async () => {
    await at.apply(at.policy("web", { ingress: [], egress: [echo] }));
    await serve("outside");
    await talk("inside", "10.98.0.2", 2);
    assert.ok(at.network.keptOut(7000), "the peer opens none");
  });

  /** What `side` sends to the first address of the other takes the second pair. */
  function detour(side: Side, other: "1" | "2"): void {
    for (const one of ["inside", "outside"] as const)
      at.network[one](() =>
        execFileSync("sh", [
          "-c",
          "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $file; done",
        ]),
      );
    const device = side === "inside" ? "veth2" : "veth3";
    at.network[side](() =>
      ip("route", "add", `10.98.0.${other}/32`, "via", `10.98.1.${other}`, "dev", device),
    );
  }

  for (const [title, first, second] of [
    ["one policy", ["veth0", "veth2"], undefined],
    ["a policy for each interface", ["veth0"], ["veth2"]],
  ] as const) {
    it(`37: answers may leave by another interface, with ${title}`, async () => {
      await at.apply(at.policy("web", { interfaces: [...first], ingress: [echo], egress: [] }));
      if (second !== undefined)
        await at.apply(at.policy("other", { interfaces: [...second], ingress: [], egress: [] }));
      await serve("inside");
      detour("inside", "2");
      const before = packetsSent("veth2");
      await talk("outside", "10.98.0.1");
      assert.ok(packetsSent("veth2") - before >= 3, "the answers took the other way");
      assert.ok(at.network.keptIn(7000), "the host opens none");
    });

    it(`37: answers may come in by another interface, with ${title}`, async () => {
      await at.apply(at.policy("web", { interfaces: [...first], ingress: [], egress: [echo] }));
      if (second !== undefined)
        await at.apply(at.policy("other", { interfaces: [...second], ingress: [], egress: [] }));
      await serve("outside");
      detour("outside", "1");
      await talk("inside", "10.98.0.2");
      assert.ok(at.network.keptOut(7000, { pair: 1 }), "the peer opens none");
    });
  }

  function packetsSent(name: string): number {
    const [link] = at.network.inside(() => JSON.parse(ip("-j", "-s", "link", "show", name))) as [
      { stats64: { tx: { packets: number } } },
    ];
    return link.stats64.tx.packets;
  }
});
