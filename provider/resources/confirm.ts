/** `confirm`: a change that goes back by itself unless it is confirmed in time, over a new connection. */
import * as z from "zod";

/** Shortest time in which a new connection can be expected to stand, and longest that a host waits. */
const LEAST_SECONDS = 5;
const MOST_SECONDS = 3600;

export const confirmSchema = z
  .strictObject({
    withinSeconds: z
      .number()
      .int()
      .min(LEAST_SECONDS, `expected ${LEAST_SECONDS} to ${MOST_SECONDS} seconds`)
      .max(MOST_SECONDS, `expected ${LEAST_SECONDS} to ${MOST_SECONDS} seconds`)
      .meta({
        description: `From the change to when it goes back, ${LEAST_SECONDS} to ${MOST_SECONDS} seconds.`,
        example: 30,
      }),
  })
  .meta({
    typeName: "Confirm",
    description:
      "A change counts once it was confirmed over a new TCP connection, dialled after it through every hop; else the " +
      "host goes back to what it had before.",
  })
  .optional()
  .meta({
    description:
      "A change goes back by itself unless it is confirmed in time over a new TCP connection, which `pulumi up` makes " +
      "after it. Default: it stays.",
    example: { withinSeconds: 30 },
  });

export type Confirm = NonNullable<z.output<typeof confirmSchema>>;
