import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import { systemClock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import type { ProxyConfig } from '../config/config.ts';
import type { ExplainedOption } from '../config/load.ts';
import { OpsServer } from '../http/server.ts';
import type { LedgerStats } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { MetricObservers } from '../metrics/metrics.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { DestinationWork } from '../mining/destination-work.ts';
import { Mining } from '../mining/mining.ts';
import { ledgerPlaceOf } from '../operator/ledger-place.ts';
import { askMakers, propose } from '../operator/market-tools.ts';
import { type ExternalSigning, fileExternalSigning } from '../settlement/external-signing.ts';
import { HashValues } from '../settlement/hash-values.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import { blobFilesIn } from '../settlement/peer-blobs.ts';
import type { AcceptedShare } from '../shares/share.ts';
import { Hashrate } from '../work/hashrate.ts';
import type { Credit, StreamTotal } from '../work/meters.ts';
import { type Journals, openJournals } from './api-parts.ts';
import { auditorOf } from './auditor-place.ts';
import { type ChainPart, startChain, stopChain } from './chain-part.ts';
import { ClosingOnly, hasLadders, ladderWriter } from './closing-only.ts';
import { type Composed, composed } from './composed.ts';
import { minerOptionsOf } from './contract-runner.ts';
import { armCrashPoint, type CrashPoint } from './crash-points.ts';
import { makeDataDir } from './data-dir.ts';
import { watchDescriptors } from './descriptors.ts';
import { Durability, type DurabilityLevel, IDLE } from './durability.ts';
import { joinFleet } from './fleet-news.ts';
import { assertNodeKeyFits, openKeys } from './node-keys.ts';
import { laterPart, PATIENCE_MS, startPage } from './page.ts';
import { pageOf } from './page-files.ts';
import { proxyApi } from './proxy-api.ts';
import { proxyLine } from './proxy-line.ts';
import { openMemory, type ProxyMemory } from './proxy-memory.ts';
import { proxySources } from './proxy-metrics.ts';
import type { ProxyParts } from './proxy-status.ts';
import { proxyChecks } from './readiness.ts';
import { type LivePart, Reload, type RereadSource } from './reload.ts';
import { renewalOf } from './renewal.ts';
import { RuleTaking } from './rule-taking.ts';
import { RunningContracts } from './running-contracts.ts';
import { contractDestination, contractsOf, Selling } from './selling.ts';
import type { DaemonLog } from './shared-metrics.ts';
import { sayStatus } from './status-line.ts';
import { systemView } from './system-view.ts';
import { takeActions } from './take-action.ts';
import { takenContracts } from './taken-contracts.ts';
import { logMinerTips } from './tip-logs.ts';

const clock = systemClock;
const timers = systemTimers;

/** Tells the configuration, without its secrets. */
type ProxySource = RereadSource<'proxy'> & {
  readonly explain: (flags: Readonly<Record<string, string>>) => readonly ExplainedOption[];
};

export type RunningProxy = Composed<{
  readonly reload: Reload<'proxy'>;
  readonly ready: Readonly<Record<string, unknown>>;
  /** See `Renewal`. */
  readonly renewal: Promise<void>;
}>;

/**
 * Builds the proxy in order: keys, ledger and what it remembers, mining, and then what miners do not wait
 * for: status page and contract. Throws coded errors for what the configuration, the disk or a port that
 * miners connect to refuses.
 */
export function startProxy(
  config: ProxyConfig,
  log: DaemonLog,
  source?: ProxySource,
): Promise<RunningProxy> {
  return composed((undo) => build({ ...config }, log, undo, source));
}

/** @param config in force: replaced at a reload */
async function build(
  config: ProxyConfig,
  log: DaemonLog,
  undo: AsyncDisposableStack,
  source: ProxySource | undefined,
): Promise<Omit<RunningProxy, 'close'>> {
  makeDataDir(config.dataDir);
  for (const contract of contractsOf(config)) minerOptionsOf(config.network, contract);
  const signer = openKeys(config, { random: systemRandom, log });
  const observers: Observers = {};
  const crash = armCrashPoint('miner', config.network, process.env, { log, random: systemRandom, timers });
  let stats: () => Pick<LedgerStats, keyof typeof IDLE> = () => IDLE;
  const durability = new Durability({
    ...{ stats: () => stats(), clock, timers, log },
    onChange: (level) => onDurability(level),
  });
  const memory = await openMemory(ledgerPlaceOf(config), {
    ...{ crash, clock, timers, log, keepMs: config.ledger.keepMs },
    observeCommit: (seconds) => observers.observe?.ledger_commit_seconds(seconds),
    onFailure: () => durability.look(),
  });
  undo.defer(() => memory.close());
  const { ledger, meters, kernel } = memory;
  // In the place of one that cannot be used stands one that keeps nothing, which is what it is for.
  if (memory.unusable === undefined) stats = () => ledger.stats;
  await assertNodeKeyFits(ledger, signer);
  const contracts = new RunningContracts(config.sell);
  const parts = {
    ...{ config, meters, ledger, clock, signer, contracts, waiting: [] },
    hashrate: new Hashrate({ clock }),
    work: new DestinationWork({ contract: contractDestination(config) }, { clock, meters }),
  };
  const mining = makeMining(parts, memory, { durability, observers, log });
  const selling = new Selling(config, { mining, work: parts.work, durability, log });
  const onDurability = (level: DurabilityLevel): void => {
    selling.update();
    if (level === 'lost') mining.server.letGo('ledger');
    else if (level === 'sound') mining.server.takeBack('ledger');
  };
  // Only a contract needs the chain, or what is left of one.
  const sells = contractsOf(config).length > 0 || config.metering !== undefined;
  const hasTaken = (await takenContracts(ledger)).length > 0;
  const needsChain = sells || hasTaken || config.sell !== undefined || hasLadders(config.closeDir);
  const chain = needsChain && config.chain ? startChain(config.network, config.chain, log) : undefined;
  undo.defer(() => stopChain(chain));
  const closing = new ClosingOnly(config, {
    isServed: ({ contractId, n }) =>
      contracts.isShared(contractId) || (contracts.side(contractId)?.status.signed?.n ?? -1) >= n,
    ...{ part: chain, log: log.child({ part: 'ladders' }) },
  });
  const requests = fileExternalSigning(join(config.dataDir, 'requests'));
  const facts: ProxyParts = {
    ...{ ...parts, mining, closing, durability, upkeep: memory.upkeep },
    ...auditorOf(config, undo, { ledger, signer, requests, log }),
    descriptors: watchDescriptors(undo, { timers, log }),
    ...(chain === undefined ? {} : { chain }),
    ...(memory.unusable === undefined &&
      (await joinFleet({ ...parts, mining }, { undo, run: memory.run, log }))),
  };
  undo.defer(() => mining.stop());
  await mining.start();
  undo.defer(() => durability.stop());
  durability.start();

  const later = { waiting: facts.waiting, undo, log };
  const reload = new Reload(source, log);
  const journals = await openJournals('proxy', config.ledger.postgres?.instance, { ledger, clock, log });
  const shown = { kernelName: kernel.name, observers, source, reload, journals };
  const ops = opsServer(facts, { ...shown, ...later });
  reload.add(...liveParts(config, { facts, selling, ops }));
  const httpAt = await startPage(ops, later);
  sayStatus(undo, { timers, log }, proxyLine(facts));
  const ladders = ladderWriter(config.closeDir, log);
  undo.defer(async () => {
    await Promise.all([contracts.stop(), closing.stop()]);
    await ladders.idle();
  });
  const deps = { selling, crash, ladders, observers, log, requests, run: memory.run };
  const sell = () => closing.unless(() => serveContract(facts, deps));
  const contract = laterPart('contract', sell, later);
  // Last opened, so that a stop waits for no answer of a node.
  undo.defer(() => stopChain(chain));
  if (memory.unusable === undefined) {
    logMinerTips(contracts, { part: chain, ledger, signer, log }, undo);
    await contract.begin(PATIENCE_MS);
  } else closing.fail(memory.unusable);
  closing.start();
  const renewal = renewalOf(config, { fault: () => closing.faultOf(ledger), timers, log });
  undo.defer(() => renewal.stop());
  // Until all contracts began nobody knows how many there are.
  const isBegun = (): boolean => contract.waiting === undefined && closing.reason === undefined;
  const taking = chain && takeByRule(facts, { part: chain, isBegun, log });
  undo.defer(async () => taking?.stop());
  return { renewal: renewal.due, reload, ready: readyOf(facts, httpAt) };
}

/** Where a proxy that runs listens, and who it is. */
function readyOf(
  { mining, contracts, signer }: ProxyParts,
  http: string | null,
): Readonly<Record<string, unknown>> {
  const [stratum, ...listeners] = mining.server.addresses().map(addressText);
  return {
    ...{ stratum, listeners, http, node_id: toHex(nodeIdBytes(signer)) },
    contract: (contracts.first ?? contracts.metering)?.contractId ?? null,
  };
}

/** What of a running proxy goes by another configuration. */
function liveParts(
  inForce: ProxyConfig,
  {
    facts,
    selling,
    ops,
  }: { readonly facts: ProxyParts; readonly selling: Selling; readonly ops: OpsServer },
): readonly LivePart<'proxy'>[] {
  const { mining, contracts, chain, upkeep } = facts;
  return [
    {
      name: 'sale',
      inForce: () => ({ sell: inForce.sell, makers: inForce.makers, limits: contracts.saleLimits }),
      prepare: ({ config }) => {
        if (config.sell !== undefined && chain === undefined)
          throw new CodedError(
            'config_invalid',
            '[sell] needs the bitcoin node, which a start connects to',
          );
        return () => {
          Object.assign(inForce, config);
          contracts.setSaleLimits(config.sell);
        };
      },
    },
    {
      name: 'mining',
      inForce: () => mining.inForce,
      prepare: ({ config }) => {
        const apply = mining.reloaded(config);
        return () => {
          apply();
          // Contracts go on at destinations that are new, or are there again.
          selling.update();
        };
      },
    },
    {
      name: 'ledger and page',
      inForce: () => ({ keptMs: upkeep?.sealing.keptMs, hosts: ops.allowedHosts }),
      prepare: ({ config: { metrics, ledger } }) => {
        return () => {
          upkeep?.sealing.keepFor(ledger.keepMs);
          ops.setAllowedHosts(metrics.allowedHosts);
        };
      },
    },
  ];
}

function makeMining(
  {
    config,
    contracts,
    meters,
    ledger,
    hashrate,
    work,
  }: Omit<ProxyParts, 'mining' | 'closing' | 'durability' | 'upkeep' | 'descriptors'>,
  { run, kernel, duplicates }: ProxyMemory,
  deps: { readonly durability: Durability; readonly observers: Observers; readonly log: Logger },
): Mining {
  const { durability, observers, log } = deps;
  const lost = (shares: readonly AcceptedShare[]): void => {
    for (const { submission } of shares)
      contracts.lost(submission.job.stream, submission.assigned.workHashes);
  };
  return new Mining(config, run, {
    ...{ kernel, duplicates, clock, timers, random: systemRandom, log },
    env: process.env,
    admits: (stream, workHashes) => contracts.admits(stream, workHashes),
    onBlock: (submission) => contracts.onBlock(submission),
    commit: async (shares) => {
      let credit: Credit;
      try {
        durability.assertSound();
        credit = await meters.commit(ledger, shares);
      } catch (error) {
        lost(shares);
        throw error;
      }
      for (const part of credit.parts) {
        hashrate.add(Number(part.workHashes));
        work.add(part);
        contracts.onDurable(part.stream, meters.total(part.stream), part.workHashes);
      }
    },
    observeBatch: (shares, seconds) => {
      observers.observe?.validation_batch_shares(shares);
      observers.observe?.validation_batch_seconds(seconds);
    },
    observeAck: (seconds) => observers.observe?.share_ack_seconds(seconds),
  });
}

/** The status page, and what it reads. */
function opsServer(
  facts: ProxyParts,
  deps: {
    readonly kernelName: string;
    readonly observers: Observers;
    readonly source: ProxySource | undefined;
    readonly undo: AsyncDisposableStack;
    readonly reload: Reload<'proxy'>;
    readonly journals: Journals;
    readonly log: DaemonLog;
  },
): OpsServer {
  const { kernelName, observers, source, undo, reload, journals, log } = deps;
  const { config, ledger, mining, upkeep } = facts;
  const http = log.child({ part: 'http' });
  const checks = proxyChecks(facts);
  const system = systemView({
    ...{ checks, ledger, upkeep, clock, log, explain: source && (() => source.explain({})) },
    listeners: () => mining.server.addresses().map((at) => ({ name: 'stratum', at: addressText(at) })),
    job: () => mining.job,
  });
  const parts = { undo, clock, timers, random: systemRandom, log: http };
  const api = proxyApi(facts, { ...parts, reload, journals, system });
  const build = { version: VERSION, commit: COMMIT, kernel: kernelName, ledger: ledger.engine };
  const metrics = createMetrics({ role: 'proxy', build }, () => proxySources(facts, log));
  observers.observe = metrics.observe;
  const { listen, allowedHosts } = config.metrics;
  return new OpsServer(
    { listen, allowedHosts, serving: ['miners'] },
    {
      ...{ metrics, timers, log: http },
      ...{ checks, api, page: pageOf('proxy') },
    },
  );
}

/** The contracts of the configuration, and those that were taken while it ran. */
async function serveContract(
  facts: ProxyParts,
  deps: {
    readonly selling: Selling;
    readonly crash: CrashPoint;
    readonly ladders: LadderWriter;
    readonly observers: Observers;
    readonly log: Logger;
    readonly requests: ExternalSigning;
    readonly run: number;
  },
): Promise<void> {
  const { selling, crash, ladders, observers, log, requests, run } = deps;
  const { config, contracts, ledger, signer, chain, auditor, meters } = facts;
  const { postgres } = config.ledger;
  const total = (stream: string): StreamTotal => meters.total(stream);
  if (config.metering !== undefined) {
    const metering = await contracts.startMetering(config.network, config.metering, {
      ...{ ...(chain === undefined ? {} : { chain: chain.chain }), ledger, signer },
      ...{ clock, timers, random: systemRandom, log: log.child({ part: 'metering' }) },
      onStatus: (contract) => selling.onStatus(contract),
    });
    if (metering !== undefined) selling.onStatus(metering.sold);
  }
  if (chain === undefined) return;
  await contracts.start(config.network, contractsOf(config), {
    ...{ ...chain, ledger, signer, clock, timers, random: systemRandom, ladders },
    onStatus: (contract) => selling.onStatus(contract),
    observeSolution: (seconds) => observers.observe?.work_solution_seconds(seconds),
    log: log.child({ part: 'contract' }),
    blobFiles: blobFilesIn(join(config.dataDir, 'peer-blobs')),
    connect: crash.connect,
    externalSigning: requests,
    ...(postgres === undefined ? {} : { fleet: { postgres, run, total, closeDir: config.closeDir } }),
    ...(auditor === undefined ? {} : { auditor }),
  });
}

type TakingDeps = { readonly part: ChainPart; readonly isBegun: () => boolean; readonly log: Logger };

/** Contracts that are taken without anybody typing, where the configuration says so. */
function takeByRule(facts: ProxyParts, { part: { chain }, isBegun, log }: TakingDeps): RuleTaking {
  const { config, contracts, signer } = facts;
  const { network, auditor } = config;
  const tools = { network, signer, timers, auditorNodeId: auditor?.nodeId };
  const values = new HashValues({ chain, log });
  const isThere = (channel: string): boolean => channel !== 'closed' && channel !== 'failed';
  return new RuleTaking(config, {
    running: () =>
      isBegun()
        ? contracts.all.filter(({ side }) => isThere(side.status.channel)).length
        : Number.POSITIVE_INFINITY,
    ask: () => askMakers(config.makers, config.sell!, { ...tools, chain, values }),
    propose: (quote) => propose(quote, tools),
    take: takeActions(config, facts)['contract/take']!,
    ...{ clock, timers, log: log.child({ part: 'market' }) },
  });
}

/** Histograms exist only once everything they describe does. */
type Observers = { observe?: MetricObservers<'proxy'> };

function addressText({ address, port }: AddressInfo): string {
  return hostPortText(address, port);
}
