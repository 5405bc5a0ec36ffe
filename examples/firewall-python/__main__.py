"""Drops packets by the network they come from."""

import pulumi
import pulumi_ebpf as ebpf

config = pulumi.Config()
source = config.get("source") or "../firewall/bpf/filter.bpf.c"
interface = config.get("interface") or "eth0"
sample_rate = config.get_int("sampleRate") or 100
rules = config.get_object("rules") or [{"network": "203.0.113.0/24", "action": "DROP"}]

program = ebpf.Program("filter", source=source, globals={"sample_rate": sample_rate})

entries = ebpf.MapEntries(
    "rules",
    map=program.map_refs["blocked"],
    mode=ebpf.EntriesMode.AUTHORITATIVE,
    entries=[{"key": rule["network"], "value": {"action": rule["action"]}} for rule in rules],
)

# once the rules are in place: from its first packet on the filter judges by them
attachment = ebpf.Attachment(
    "filter",
    program=program.entrypoint_refs["xdp_filter"],
    xdp={"interface": interface},
    opts=pulumi.ResourceOptions(depends_on=[entries]),
)

pulumi.export("verifiedInstructions", program.entrypoints["xdp_filter"].verified_instructions)
pulumi.export("mode", attachment.link.facts["mode"])
