import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");

/** One network a line: `node make-list.mjs > blocklist.txt`, or a feed of your own. */
const blocklist = new ebpf.AddressSet("blocklist", { connection, file: "./blocklist.txt" });

new ebpf.NetworkPolicy("blocklist", {
  connection,
  interfaces: [config.get("interface") ?? "defaultRoute"],
  ingress: [
    // a deny beats every allow, those of other policies too
    { name: "blocklist", action: "deny", from: [{ addressSet: blocklist }] },
    { name: "everyone else", from: [{ any: true }] },
  ],
  management: config.getObject<string[]>("management") ?? [],
  confirm: { withinSeconds: 30 },
});

export const networks = blocklist.content.apply((content) => content?.count);
