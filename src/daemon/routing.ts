import { choose, type DestinationHealth, type FailoverState, isUsable } from '../upstream/failover.ts';

/** Where all sessions mine to. `none` when nobody may or can be served: then miners get no new work. */
export const NOWHERE = 'none';

export type RoutingInput = {
  /** The contract's destination, while the contract wants hashrate. */
  readonly contract: DestinationHealth | undefined;
  /** The miner's own, best first. */
  readonly fallbacks: readonly DestinationHealth[];
};

/**
 * The contract first while it is served and its upstream works; else the best of the miner's own that
 * works.
 */
export function route(
  state: FailoverState,
  input: RoutingInput,
  nowMs: number,
): { readonly state: FailoverState; readonly destination: string } {
  const fallback = choose(state, input.fallbacks, nowMs);
  if (input.contract !== undefined && isUsable(input.contract)) {
    return { state: fallback.state, destination: input.contract.name };
  }
  return { state: fallback.state, destination: fallback.choice ?? NOWHERE };
}
