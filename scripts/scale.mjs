// Set-up, then what hosts cost the machine that runs Pulumi, as docs/scale.md has it.
//   node scripts/scale.mjs
import { runAfterSetUp } from "./run.mjs";

await runAfterSetUp("scale", "test/scale/main.ts", [], { databases: true });
