import { POOL_SCRIPT_HEX } from './devnet.ts';

/** What the configurations of both roles say alike. */
export type MarketFacts = {
  readonly peerListen: string;
  readonly shareDifficulty: number;
  readonly stepHashes: bigint;
  readonly priceMsatPerEh: bigint;
  /** Options of `[chain]`. */
  readonly chainToml: string;
  /** Binds the work by beads that pay the maker; else by coinbases that pay the pool. */
  readonly bead?: BeadFacts;
  /** Binds the work by jobs of the maker, from this pool of its own, HOST:PORT. */
  readonly makerPool?: string;
  /** Binds the work by coinbases, of jobs of a solo pool of the miner. */
  readonly solo?: SoloFacts;
  /** Neither side names the other: the maker serves whoever comes, and the miner asks for quotes. */
  readonly areStrangers?: boolean;
};

export type SoloFacts = {
  /** HOST:PORT. */
  readonly pool: string;
  /** Where there is a seal the pool names the contract in its coinbases. */
  readonly hasSeal: boolean;
};

export type BeadFacts = {
  /** Payout address of the maker. */
  readonly payoutAddress: string;
  readonly profile: 'spec' | 'as_is';
  readonly maxLossSat: bigint;
  /** JSON-RPC of the maker's node. */
  readonly rpcUrl: string;
};

function bindingToml({ bead, makerPool, solo }: MarketFacts): string {
  if (makerPool !== undefined) return 'binding = "work"';
  if (solo !== undefined)
    return `binding_script = "${POOL_SCRIPT_HEX}"${solo.hasSeal ? '\n\n[contract.seal]\nenabled = true' : ''}`;
  if (bead === undefined) return `binding_script = "${POOL_SCRIPT_HEX}"`;
  return `binding = "bead"

[contract.bead_binding]
payout_address = "${bead.payoutAddress}"
profile = "${bead.profile}"
max_loss = "${bead.maxLossSat} sat"`;
}

/** The node that contracts are mined at, unless their maker gives the jobs. */
function contractDestinationToml({ makerPool, solo, node, nodeRpcUrl, workers }: ProxyFacts): string {
  if (makerPool !== undefined) return '';
  if (solo !== undefined)
    return `[[destination]]
name = "solo"
url = "stratum+tcp://${solo.pool}"
worker = "${workers[0]}"
role = "contract"
`;
  return `[[destination]]
name = "braidpool"
url = "stratum+tcp://${node}"
worker = "${workers[0]}"
profile = "braidpool"
role = "contract"
rpc_url = "${nodeRpcUrl}"
`;
}

function boughtToml({ makerPool, solo }: MarketFacts): string {
  const seal = solo?.hasSeal === true ? '\n[policy.seal]\nmode = "allowed"\n' : '';
  if (makerPool === undefined) return `binding_script = "${POOL_SCRIPT_HEX}"\n${seal}`;
  return `bindings = ["work"]

[[pool]]
name = "maker-pool"
url = "stratum+tcp://${makerPool}"
worker = "maker.devnet"
`;
}

function braidpoolToml(bead: BeadFacts | undefined): string {
  if (bead === undefined) return '';
  return `
[braidpool]
rpc_url = "${bead.rpcUrl}"
payout_address = "${bead.payoutAddress}"
profiles = ["${bead.profile}"]
max_loss = "${bead.maxLossSat} sat"
`;
}

/** Where one daemon is. */
export type PlaceFacts = { readonly dataDir: string; readonly metricsListen: string };

export type ProxyFacts = MarketFacts &
  PlaceFacts & {
    readonly stratumListen: string;
    /** HOST:PORT. */
    readonly node: string;
    readonly nodeRpcUrl: string;
    /** HOST:PORT. */
    readonly pool: string;
    /** Worker names at the node and at the pool. */
    readonly workers: readonly [string, string];
    readonly makerNodeId: string;
    readonly workTotalHashes: bigint;
    /** The option of `[payout]`. */
    readonly payoutToml: string;
  };

export type MakerFacts = MarketFacts &
  PlaceFacts & { readonly minerNodeId: string; readonly maxBudgetSat: bigint };

const EXPIRY_BLOCKS = 20_000;

function contractToml(facts: ProxyFacts): string {
  return `[contract]
enabled = true
maker_url = "${facts.peerListen}"
maker_node_id = "${facts.makerNodeId}"
price = "${facts.priceMsatPerEh} msat/EH"
work_total = "${facts.workTotalHashes} H"
step = "${facts.stepHashes} H"
max_unpaid_steps = 5
expiry_blocks = ${EXPIRY_BLOCKS}
min_depth = 1
share_difficulty = ${facts.shareDifficulty}
${bindingToml(facts)}
`;
}

function sellToml(facts: ProxyFacts): string {
  return `[sell]
floor_price = "${facts.priceMsatPerEh / 2n} msat/EH"
work = "${facts.workTotalHashes} H"
step = "${facts.stepHashes} H"
max_unpaid_steps = 5
expiry_blocks = ${EXPIRY_BLOCKS}
share_difficulty = ${facts.shareDifficulty}
`;
}

function strangersToml({ areStrangers, maxBudgetSat }: MakerFacts): string {
  if (areStrangers !== true) return '';
  return `
[policy.strangers]
max_contracts = 4
max_budget = "${maxBudgetSat} sat"
require_collateral = false
`;
}

/** The configuration of a proxy that sells its work on a devnet. */
export function devnetProxyToml(facts: ProxyFacts): string {
  const [, poolWorker] = facts.workers;
  return `network = "regtest"
data_dir = "${facts.dataDir}"

[stratum]
listen = "${facts.stratumListen}"
difficulty = { mode = "fixed", start = ${facts.shareDifficulty}, min = ${facts.shareDifficulty} }

${contractDestinationToml(facts)}
[[destination]]
name = "own-pool"
url = "stratum+tcp://${facts.pool}"
worker = "${poolWorker}"

${facts.areStrangers === true ? sellToml(facts) : contractToml(facts)}
[payout]
${facts.payoutToml}

[chain]
${facts.chainToml}

[metrics]
listen = "${facts.metricsListen}"
`;
}

/** The configuration of a market maker that buys such work. */
export function devnetMakerToml(facts: MakerFacts): string {
  return `network = "regtest"
data_dir = "${facts.dataDir}"

[peer]
listen = "${facts.peerListen}"

[peers]
allow = [${facts.areStrangers === true ? '' : `"${facts.minerNodeId}"`}]

[policy]
max_price = "${facts.priceMsatPerEh} msat/EH"
max_budget = "${facts.maxBudgetSat} sat"
max_total_budget = "${facts.maxBudgetSat + facts.maxBudgetSat / 3n} sat"
min_step = "1 H"
max_step = "${facts.stepHashes} H"
min_share_difficulty = ${facts.shareDifficulty}
max_expiry_blocks = ${EXPIRY_BLOCKS}
min_depth = 1
${boughtToml(facts)}${braidpoolToml(facts.bead)}${strangersToml(facts)}
[chain]
${facts.chainToml}

[metrics]
listen = "${facts.metricsListen}"
`;
}
