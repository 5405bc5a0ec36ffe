// Preloaded into the provider's process: writes its largest memory in KB when it ends.
"use strict";
const { writeFileSync } = require("node:fs");
const { join } = require("node:path");

const directory = process.env.BENCH_PEAK_MEMORY;
if (directory !== undefined && /dynamic-provider|pulumi-resource-ebpf/.test(process.argv[1] ?? "")) {
  process.on("exit", () => {
    writeFileSync(join(directory, `peak-${process.pid}`), String(process.resourceUsage().maxRSS));
  });
}
