/**
 * A process that changes the TCX ingress of veth0 every few milliseconds, by exchanging the program of a link, until
 * its standard input ends; for tcx.test.ts. Arguments: ids of two programs.
 */
import { interfaceIndex, LinkHandle, ProgramHandle } from "../../../provider/bpf";

const PAUSE_MS = 2;
const [one, other] = process.argv.slice(2).map((id) => ProgramHandle.fromId(Number(id)));
const ifindex = interfaceIndex("veth0");
const link = LinkHandle.create(one!, { type: "tcx", ifindex, direction: "ingress" });
let changes = 0;

const timer = setInterval(() => {
  link.update(changes % 2 === 0 ? other! : one!);
  changes++;
}, PAUSE_MS);
process.stdin.resume().on("end", () => {
  clearInterval(timer);
  link.detach();
  console.log(changes);
});
console.log("started");
