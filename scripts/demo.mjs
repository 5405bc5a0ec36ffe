// Set-up, then the demo: a firewall on two hosts that are made for it.
//   node scripts/demo.mjs
import { runAfterSetUp } from "./run.mjs";

await runAfterSetUp("demo", "test/demo/main.ts");
