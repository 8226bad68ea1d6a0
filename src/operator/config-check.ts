import { readFileSync } from 'node:fs';
import { isXOnlyPoint } from 'tiny-secp256k1';
import { divideUp } from '../base/bigints.ts';
import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { earnsSatRoundedUp, type PriceUnits, priceText, priceUnits } from '../base/price.ts';
import { formatSi, owedMsat, owedSat } from '../base/units.ts';
import { readAddress } from '../bitcoin/address.ts';
import { beginBlocksOf, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { checkPayoutScript } from '../channel/sizes.ts';
import type { AuditorConfig, ContractConfig, MakerConfig, ProxyConfig } from '../config/config.ts';
import type { Problem } from '../config/problems.ts';
import { passedLimit } from '../miner/sale-limits.ts';
import { configuredTerms } from './configured-terms.ts';
import { contractFees, secondsOfBlocks, shareWork } from './contract-economics.ts';

/** What is wrong, what is odd, and what the figures of a configuration come to. */
export type Findings = {
  /** Nothing may start with these. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly facts: readonly Fact[];
};

/** A figure in the units that people use. */
export type Fact = { readonly path: string; readonly text: string; readonly units?: PriceUnits };

/** What the checks look at beside the configuration. */
export type Surroundings = {
  /** Open files allowed to one process; undefined where the system does not say. */
  readonly descriptors: number | undefined;
  /** Path of the destination of this name in the configuration. */
  readonly destinationPath: (name: string) => string;
};

/**
 * What the sample shows, and is nobody's: names that can never be reached (RFC 2606), the examples of BIP173,
 * and keys whose secret everybody knows.
 */
const SAMPLE_WORKER = /^bc1qexampleaddress\b/;
const SAMPLE_HOST = /(?:^|\.)example(?:\.(?:com|net|org))?$/;
const SAMPLE_KEY = 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
const SAMPLE_SCRIPT = '0014751e76e8199196d454941c45d1b3a323f1433bd6';
const SAMPLE_ADDRESS = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';

/**
 * More than this a hash has not been worth since 2019, and difficulty only rises: a price above it is likely
 * of another unit.
 */
const ODD_MSAT_PER_EH = 10_000_000n;
/** Descriptors for the ledger, the log, pages, peers and nodes. */
const OTHER_DESCRIPTORS = 200;
/** Fees above this part of what a contract earns are odd. */
const ODD_FEES_PPM = 100_000n;

class Notes {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly facts: Fact[] = [];

  refuse(path: string, message: string): void {
    this.problems.push({ path, message });
  }

  placeholder(path: string, what: string): void {
    const message = `is ${JSON.stringify(what)}, which the sample only shows`;
    this.problems.push({ path, message, isPlaceholder: true });
  }

  warn(path: string, message: string): void {
    this.warnings.push({ path, message });
  }

  /** Takes what was noted of another contract, under its path. */
  take({ problems, warnings, facts }: Notes, section: string): void {
    const under = <T extends { readonly path: string }>(noted: readonly T[]): T[] =>
      noted
        .filter(({ path }) => path.startsWith('contract'))
        .map((one) => ({ ...one, path: one.path.replace(/^contract/, section) }));
    this.problems.push(...under(problems));
    this.warnings.push(...under(warnings));
    this.facts.push(...under(facts));
  }
}

/** Open files allowed to one process here; undefined where the system does not say. */
export function descriptorLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const most = /^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1];
    return most === undefined ? undefined : Number(most);
  } catch {
    return undefined;
  }
}

/** Open files that a proxy may need at once. */
export function descriptorsNeeded({ stratum, destinations }: ProxyConfig): number {
  const links = destinations.reduce((sum, one) => sum + one.links.max * Number(isAudit(one)), 0);
  return stratum.maxSessions + links + OTHER_DESCRIPTORS;
}

/**
 * What loading a proxy's configuration cannot see: addresses and keys, placeholders of the sample, terms that
 * no maker would take, and figures that do not fit together.
 */
export function checkProxy(config: ProxyConfig, around: Surroundings): Findings {
  const { descriptors, destinationPath } = around;
  const notes = new Notes();
  for (const { name, host, worker } of config.destinations) {
    const path = destinationPath(name);
    if (SAMPLE_HOST.test(host)) notes.placeholder(`${path}.url`, host);
    if (SAMPLE_WORKER.test(worker)) notes.placeholder(`${path}.worker`, worker);
  }
  const needed = descriptorsNeeded(config);
  if (descriptors !== undefined && descriptors < needed) {
    const more = `this system allows one process ${descriptors} open files, and ${needed} may be needed`;
    notes.warn('stratum.max_sessions', `${more}: raise the limit (LimitNOFILE, ulimit -n)`);
  }
  if (config.contract !== undefined) checkContract(config, config.contract, notes);
  checkTotal(config, notes);
  for (const [index, contract] of config.furtherContracts.entries()) {
    const own = new Notes();
    checkContract(config, contract, own);
    notes.take(own, `further_contract.${index}`);
  }
  return notes;
}

/** Less than a step need not be signed: with one unsigned of each, the bound must leave room to go on. */
function checkTotal({ contract, furtherContracts }: ProxyConfig, notes: Notes): void {
  const all = contract === undefined ? furtherContracts : [contract, ...furtherContracts];
  const maxSat = all[0]?.maxUnpaidTotalSat;
  if (maxSat === undefined) return;
  const passed = passedLimit(
    { maxUnpaidTotalSat: maxSat },
    all.map(({ stepHashes, priceMsatPerEh }) => {
      return { mostSat: 0n, stepSat: earnsSatRoundedUp(stepHashes, priceMsatPerEh) };
    }),
  );
  if (passed !== undefined)
    notes.refuse(
      passed.name,
      `must be at least ${passed.sat} sat, a third above a step of each contract, or nothing is delivered once it is reached`,
    );
}

function isAudit({ payoutMode }: ProxyConfig['destinations'][number]): boolean {
  return payoutMode === 'audit';
}

function checkContract(config: ProxyConfig, contract: ContractConfig, notes: Notes): void {
  const { network } = config;
  if (SAMPLE_HOST.test(contract.maker.host)) notes.placeholder('contract.maker_url', contract.maker.host);
  checkKey(contract.makerNodeId, 'contract.maker_node_id', notes);
  if (contract.bonds?.bondMode === 'auditor')
    checkKey(contract.bonds.auditorKeyHex.slice(2), 'contract.bonds.auditor_key', notes);
  checkPayout(contract, network, notes);
  for (const { label, address } of contract.payees ?? []) {
    const { script, why } = readAddress(address, network);
    if (script === undefined)
      notes.refuse('contract.payees', `has "${label}": ${JSON.stringify(address)} ${why}`);
    else checkScript(script, 'contract.payees', notes);
  }
  if (
    contract.binding.type === 'payout' &&
    contract.binding.outputs.some(({ scriptHex }) => scriptHex === SAMPLE_SCRIPT) &&
    network === 'mainnet'
  )
    notes.placeholder('contract.binding_script', SAMPLE_SCRIPT);
  checkTerms(config, contract, notes);
  checkPrice(config, contract, notes);
  checkSteps(contract, notes);
  checkDuration(config, contract, notes);
  if (!config.destinations.some(({ role }) => role === 'fallback'))
    notes.warn('destination', 'has no fallback: while the contract pauses, the miners have no work');
}

function checkKey(xOnlyHex: string, path: string, notes: Notes): void {
  if (xOnlyHex === SAMPLE_KEY) notes.placeholder(path, xOnlyHex);
  else if (!isXOnlyPoint(fromHex(xOnlyHex))) notes.refuse(path, 'is no public key: a digit is mistyped');
}

function checkPayout({ payout }: ContractConfig, network: ProxyConfig['network'], notes: Notes): void {
  const path = `payout.${payout.type}`;
  if (payout.type === 'script') {
    if (payout.scriptHex === SAMPLE_SCRIPT && network === 'mainnet')
      notes.placeholder(path, payout.scriptHex);
    else checkScript(fromHex(payout.scriptHex), path, notes);
    return;
  }
  const { script, why } = readAddress(payout.address, network);
  if (payout.address === SAMPLE_ADDRESS) notes.placeholder(path, payout.address);
  else if (script === undefined) notes.refuse(path, `${JSON.stringify(payout.address)} ${why}`);
  else checkScript(script, path, notes);
}

function checkScript(script: Uint8Array, path: string, notes: Notes): void {
  try {
    checkPayoutScript(script, path);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    notes.refuse(path, 'is of a type that no channel pays: use P2WPKH, P2WSH or P2TR (bc1q, bc1p)');
  }
}

/** As the peer would judge them, before anything runs. */
function checkTerms({ network }: ProxyConfig, contract: ContractConfig, notes: Notes): void {
  const place = { network, minerNodeId: '00'.repeat(32), tipHeight: 1, nonce: new Uint8Array(16) };
  try {
    configuredTerms(contract, place);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    notes.refuse('contract', `has terms that nobody takes: ${error.message.replace(/^bad_terms: /, '')}`);
  }
}

function checkPrice({ network, chain }: ProxyConfig, contract: ContractConfig, notes: Notes): void {
  const { priceMsatPerEh: price, workTotalHashes, budgetSat, reserveSat } = contract;
  notes.facts.push({ path: 'contract.price', text: priceText(price), units: priceUnits(price) });
  if (network === 'mainnet' && price > ODD_MSAT_PER_EH)
    notes.warn(
      'contract.price',
      `is ${priceText(price)}: no EH has been worth that since 2019; is the unit right?`,
    );
  const paySat = owedSat(workTotalHashes, price);
  if (paySat === 0n)
    notes.refuse(
      'contract.work_total',
      'earns less than one sat at this price: nothing would ever be paid',
    );
  const { openSat, closeSat } = contractFees(chain?.feeRateSatPerKvb ?? 0);
  const feesSat = openSat + closeSat;
  const fees = `opening and closing cost you about ${openSat} and ${closeSat} sat at chain.fee_rate`;
  notes.facts.push({
    path: 'contract.budget',
    text: `${budgetSat} sat, of which ${formatSi(Number(workTotalHashes), 'H')} earn ${paySat} sat; ${fees}`,
  });
  if (paySat > 0n && feesSat * 1_000_000n > paySat * ODD_FEES_PPM)
    notes.warn('contract.work_total', `earns ${paySat} sat, and ${fees}: see \`sharestream calc\``);
  const unusedSat = budgetSat - earnsSatRoundedUp(workTotalHashes, price);
  if (unusedSat > paySat)
    notes.warn(
      'contract.budget',
      `has ${unusedSat} sat that work_total cannot earn; makers lock them for nothing`,
    );
  if (reserveSat > budgetSat)
    notes.warn('contract.reserve', 'is more than contract.budget: a maker locks more than it can spend');
  if (contract.minerReserveSat < closeSat)
    notes.warn(
      'contract.miner_reserve',
      `does not pay for a close at chain.fee_rate, which is ${closeSat} sat`,
    );
}

function checkSteps(contract: ContractConfig, notes: Notes): void {
  const {
    stepHashes,
    maxUnpaidSteps,
    maxUnpaidTotalSat,
    priceMsatPerEh: price,
    shareDifficulty,
  } = contract;
  const shareHashes = shareWork(shareDifficulty);
  const share = `one share of difficulty ${shareDifficulty} is ${formatSi(Number(shareHashes), 'H')}`;
  if (shareHashes > stepHashes * BigInt(maxUnpaidSteps)) {
    notes.refuse('contract.share_difficulty', `is too hard: ${share}, more than all max_unpaid_steps`);
  } else if (shareHashes > stepHashes) {
    notes.warn('contract.share_difficulty', `${share}, more than a step: each pays for several at once`);
  }
  if (owedMsat(stepHashes, price) < 1000n)
    notes.warn('contract.step', 'earns less than one sat: states would be signed that pay no more');
  const stepSat = owedSat(stepHashes + shareHashes, price);
  if (maxUnpaidTotalSat !== undefined && maxUnpaidTotalSat < stepSat) {
    const needs = `a step and a share are ${stepSat} sat`;
    notes.refuse(
      'contract.max_unpaid_total',
      `is below the pay of one step: ${needs}, so none is ever reached`,
    );
  }
  const risk = owedSat(stepHashes * BigInt(maxUnpaidSteps) + shareHashes, price);
  notes.facts.push({
    path: 'contract.step',
    text: `${formatSi(Number(stepHashes), 'H')}, of ${stepHashes / shareHashes} shares or more; at most ${risk} sat unpaid`,
  });
}

function checkDuration(config: ProxyConfig, contract: ContractConfig, notes: Notes): void {
  const { expiryBlocks, minDepth, workTotalHashes } = contract;
  const blocks = expiryBlocks - beginBlocksOf(DEFAULT_CLOSE_MARGINS) - minDepth;
  if (blocks <= 0) {
    notes.refuse(
      'contract.expiry_blocks',
      `leaves no block for work: ${-blocks + 1} more are needed at least`,
    );
    return;
  }
  const seconds = secondsOfBlocks(blocks);
  const least = divideUp(workTotalHashes, seconds);
  const days = (Number(seconds) / 86_400).toFixed(1);
  const text = `${blocks} blocks for work, about ${days} days: work_total needs ${formatSi(Number(least), 'H/s')}`;
  notes.facts.push({ path: 'contract.expiry_blocks', text });
  const quota = config.destinations.find(({ role }) => role === 'contract')?.quota;
  if (quota?.type === 'rate' && quota.hashesPerSecond < least) {
    const rate = formatSi(Number(quota.hashesPerSecond), 'H/s');
    notes.refuse(
      'contract.work_total',
      `cannot be delivered at the rate of its destination, ${rate}: ${text}`,
    );
  }
}

/** The same for a market maker. */
const isLoopback = (host: string): boolean => /^(?:127\.|localhost$|::1$)/.test(host);

/** What an auditor's configuration says that may be meant otherwise. */
export function checkAuditor({ peers, peer }: AuditorConfig): Findings {
  const notes = new Notes();
  for (const nodeId of peers.allow) checkKey(nodeId, 'peers.allow', notes);
  if (peers.allow.length === 0) notes.warn('peers.allow', 'is empty: no contract is ruled on');
  else if (isLoopback(peer.listen.host))
    notes.warn('peer.listen', `is ${peer.listen.host}: only daemons on this machine can connect`);
  return notes;
}

export function checkMaker(config: MakerConfig): Findings {
  const notes = new Notes();
  const { policy, peers, peer, wallet, network } = config;
  const { maxPriceMsatPerEh: price } = policy;
  notes.facts.push({ path: 'policy.max_price', text: priceText(price), units: priceUnits(price) });
  if (network === 'mainnet' && price > ODD_MSAT_PER_EH)
    notes.warn(
      'policy.max_price',
      `is ${priceText(price)}: no EH has been worth that since 2019; is the unit right?`,
    );
  for (const nodeId of peers.allow) checkKey(nodeId, 'peers.allow', notes);
  if (peers.allow.length === 0) notes.warn('peers.allow', 'is empty: no miner is served');
  else if (isLoopback(peer.listen.host))
    notes.warn('peer.listen', `is ${peer.listen.host}: only miners on this machine can connect`);
  for (const key of policy.stakes.auditorKeysHex) checkKey(key.slice(2), 'policy.bonds.auditors', notes);
  if (policy.bindingScriptHex === SAMPLE_SCRIPT && network === 'mainnet')
    notes.placeholder('policy.binding_script', SAMPLE_SCRIPT);
  if (wallet.type === 'file' && wallet.account.xpub.endsWith('...'))
    notes.placeholder('wallet.xpub', wallet.account.xpub);
  const share = shareWork(policy.minShareDifficulty);
  if (share > policy.maxStepHashes * BigInt(policy.maxUnpaidSteps))
    notes.refuse(
      'policy.min_share_difficulty',
      'is too hard: one share is more than policy.max_step may leave unpaid',
    );
  return notes;
}
