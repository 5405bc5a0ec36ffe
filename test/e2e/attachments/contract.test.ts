/** The contract of Attachment for every kind of hook, on hosts of this machine's kernel. */
import { closeAll } from "../../../provider/transport/pool";
import { Lab } from "../../support/lab";
import { ManagedResource } from "../../support/managed-resource";
import { modesUnderTest } from "../../support/modes";
import { attachmentContract } from "./contract";
import { kinds } from "./kinds";

for (const mode of modesUnderTest()) {
  for (const kind of kinds) {
    describe(`Attachment to ${kind.title}, ${mode} mode`, function () {
      this.timeout(60_000);
      let lab: Lab;

      before(async () => {
        ManagedResource.useMode(mode);
        lab = await Lab.create();
      });

      after(async () => {
        closeAll();
        ManagedResource.useMode("dynamic");
        await lab?.destroy();
      });

      attachmentContract(kind, () => lab);
    });
  }
}
