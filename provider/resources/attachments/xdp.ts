/** Hook `xdp`: the earliest point of receive, in the driver or just after it. */
import * as z from "zod";
import { type AttachmentHook, interfaceFinds, interfaceInputs, wrongAttachType, wrongType } from "./hook";

const inputs = z
  .strictObject({
    ...interfaceInputs,
    mode: z
      .enum(["auto", "native", "generic", "offload"])
      .meta({ typeName: "XdpMode" })
      .default("auto")
      .meta({
        description:
          "`native`: in the driver. `generic`: after it, slower, any driver. `offload`: on the card; refused, since " +
          "no Program is loaded for a card yet. " +
          "`auto`: native, else generic; the mode that was found stays.",
        default: "auto",
      }),
    allowGap: z.boolean().default(false).meta({
      description: "Allows a change of mode, during which nothing judges packets for an instant.",
      default: false,
    }),
  })
  .meta({ typeName: "Xdp", typeDescription: "Hook xdp: the earliest point of receive." });

export const xdp: AttachmentHook<z.output<typeof inputs>> = {
  name: "xdp",
  inputs,
  misfit: (program) => wrongType("xdp", program, ["xdp"]) ?? wrongAttachType("xdp", program, ["xdp"]),
  finds: {
    ...interfaceFinds,
    "xdp mode native": "mode",
    "xdp mode generic": "mode",
    "xdp mode offload": "mode",
  },
  toHook: ({ netns, ...args }) => ({ type: "xdp", ...args, ...(netns === undefined ? {} : { netns }) }),
};
