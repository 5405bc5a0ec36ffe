// eBPF as infrastructure code: programs, maps, map entries and attachments on remote Linux hosts as Pulumi resources.
package ebpf
