@node "%~dp0pulumi-resource-ebpf" %*
