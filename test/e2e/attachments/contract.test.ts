/** The contract of Attachment for every kind of hook, on hosts of this machine's kernel. */
import { closeAll } from "../../../provider/transport/pool";
import { Lab } from "../../support/lab";
import { attachmentContract } from "./contract";
import { kinds } from "./kinds";

for (const kind of kinds) {
  describe(`Attachment to ${kind.title}`, function () {
    this.timeout(60_000);
    let lab: Lab;

    before(async () => {
      lab = await Lab.create();
    });

    after(async () => {
      closeAll();
      await lab?.destroy();
    });

    attachmentContract(kind, () => lab);
  });
}
