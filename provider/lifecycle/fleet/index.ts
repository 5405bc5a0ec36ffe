/**
 * Fleets: the operations of the lifecycle on many hosts at once.
 *
 * Owns: targets and their versions, waves, health, roll-back, what a fleet's state holds and says. Does not own: what
 * happens on one host (the lifecycle's apply and observe, the agent's verbs), or the sessions (provider/transport/pool).
 */
export { FleetLifecycle } from "./lifecycle";
export { isFleet } from "./targets";
