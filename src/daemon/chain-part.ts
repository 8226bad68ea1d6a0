import { systemClock } from '../base/clock.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { ChainClock } from '../chain/chain-clock.ts';
import type { ChainNodes } from '../chain/chain-nodes.ts';
import { TrucWatch } from '../chain/truc.ts';
import type { ChainConfig } from '../config/config.ts';
import type { Logger } from '../log/logger.ts';
import { chainSource } from '../operator/chain-access.ts';
import { TodaysValue } from '../settlement/todays-value.ts';

/** The bitcoin nodes of a daemon, and what tells when none of them hears of blocks. */
export type ChainPart = {
  readonly chain: ChainNodes;
  readonly chainClock: ChainClock;
  /** Of the node that is asked first. */
  readonly truc: TrucWatch;
  readonly value: TodaysValue;
};

/** To be ended with `stopChain`. */
export function startChain(network: NetworkName, config: ChainConfig, log: Logger): ChainPart {
  const chain = chainSource(network, config, log);
  const deps = { chain, clock: systemClock, timers: systemTimers, log: log.child({ part: 'chain' }) };
  const chainClock = new ChainClock({ blockIntervalMs: config.blockIntervalMs }, deps);
  chainClock.start();
  const truc = new TrucWatch();
  truc.watch(chain, deps.log);
  const value = new TodaysValue(deps);
  value.start();
  return { chain, chainClock, truc, value };
}

export function stopChain(part: ChainPart | undefined): void {
  part?.value.stop();
  part?.chainClock.stop();
  part?.chain.close();
}

/** For the status page: each node, and where the chain stands. */
export function chainStatus({ chain, chainClock }: ChainPart): ChainStatus {
  const { height, projectedHeight, isStalled } = chainClock.standing;
  return {
    ...{ height: height ?? null, projected_height: projectedHeight ?? null, stalled: isStalled },
    nodes: chain.health.map(({ name, state, isBehind, tip, error }) => {
      const shown = isBehind && state === 'ready' ? 'behind' : state;
      return { name, state: shown, height: tip?.height ?? null, last_error: error ?? null };
    }),
  };
}

export type ChainStatus = {
  readonly height: number | null;
  readonly projected_height: number | null;
  readonly stalled: boolean;
  readonly nodes: readonly {
    readonly name: string;
    readonly state: string;
    readonly height: number | null;
    readonly last_error: { readonly code: string; readonly detail: string } | null;
  }[];
};

/** For `/readyz`: some node answers, and blocks come. */
export function chainCheck({ chain, chainClock }: ChainPart): true | string {
  if (chainClock.standing.isStalled) return 'no bitcoin node hears of blocks';
  const { health } = chain;
  if (health.some(({ state }) => state === 'ready' || state === 'unknown')) return true;
  return health.map(({ name, error }) => `${name}: ${error?.detail ?? 'away'}`).join('; ');
}

/** Where the metrics of the chain are read at a scrape. */
export function chainSources({ chain, chainClock }: ChainPart) {
  const byNode = (value: (node: ChainNodes['health'][number]) => number | undefined) => () =>
    Object.fromEntries(chain.health.map((node) => [node.name, value(node)]));
  return {
    chain_tip_height: () => chainClock.standing.height ?? 0,
    chain_projected_height: () => chainClock.standing.projectedHeight ?? 0,
    chain_tip_age_seconds: () => chainClock.standing.silentMs / 1000,
    chain_block_interval_seconds: () => chainClock.blockIntervalMs / 1000,
    chain_stalled: () => (chainClock.standing.isStalled ? 1 : 0),
    chain_node_up: byNode(({ state, isBehind }) => (state === 'ready' && !isBehind ? 1 : 0)),
    chain_node_height: byNode(({ tip }) => tip?.height),
  };
}
