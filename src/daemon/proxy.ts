import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import { toHex } from '../base/bytes.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import type { ProxyConfig } from '../config/config.ts';
import { OpsServer } from '../http/server.ts';
import { loadOrCreateToken } from '../http/token.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { limited } from '../log/limited.ts';
import type { Logger } from '../log/logger.ts';
import type { MetricObservers } from '../metrics/metrics.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { DestinationWork } from '../mining/destination-work.ts';
import { Mining } from '../mining/mining.ts';
import { fileExternalSigning } from '../settlement/external-signing.ts';
import { LadderWriter } from '../settlement/ladder-writer.ts';
import { blobFilesIn } from '../settlement/peer-blobs.ts';
import { isServing } from '../upstream/failover.ts';
import { Hashrate } from '../work/hashrate.ts';
import { chainCheck, startChain, stopChain } from './chain-part.ts';
import { proxyChannelActions } from './channel-actions.ts';
import { ClosingOnly, hasLadders } from './closing-only.ts';
import type { ContractRunnerDeps } from './contract-runner.ts';
import { armCrashPoint, type CrashPoint } from './crash-points.ts';
import { openKeys } from './node-keys.ts';
import { openMemory } from './proxy-memory.ts';
import { proxySources } from './proxy-metrics.ts';
import { type ProxyParts, proxyStatus } from './proxy-status.ts';
import { Renewal } from './renewal.ts';
import { RunningContracts } from './running-contracts.ts';

const clock = systemClock;
const timers = systemTimers;

/** A ledger that has not committed for this long while it has something to write is not ready. */
const COMMIT_AGE_MS = 10_000;
const LADDER_WARN_MS = 60_000;

export type RunningProxy = {
  readonly ready: Readonly<Record<string, unknown>>;
  /** See `Renewal`. */
  readonly renewal: Promise<void>;
  close(): Promise<void>;
};

/**
 * Builds the proxy in order: keys, ledger, what the ledger remembers, mining, status page, contract;
 * `close` undoes it in reverse. Throws coded errors for what the configuration, the disk or a port refuses.
 */
export async function startProxy(config: ProxyConfig, log: Logger): Promise<RunningProxy> {
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const signer = openKeys(config, { random: systemRandom, log });
  const token = loadOrCreateToken(join(config.dataDir, 'api-token'), systemRandom);
  const observers: Observers = {};
  const crash = armCrashPoint('miner', config.network, process.env, { log, random: systemRandom, timers });
  const memory = await openMemory(config.dataDir, {
    ...{ crash, clock, timers, log, keepMs: config.ledger.keepMs },
    observeCommit: (seconds) => observers.observe?.ledger_commit_seconds(seconds),
  });
  const { ledger, meters, kernel } = memory;
  const hashrate = new Hashrate({ clock });
  const contracts = new RunningContracts();
  const work = new DestinationWork({ contract: contractDestination(config) }, { clock, meters });
  const mining = new Mining(config, memory.run, {
    ...{ kernel, duplicates: memory.duplicates, clock, timers, random: systemRandom, log },
    env: process.env,
    admits: (stream, workHashes) => contracts.admits(stream, workHashes),
    commit: async (shares) => {
      const credit = await meters.commit(ledger, shares).catch((error: unknown) => {
        for (const { submission } of shares)
          contracts.lost(submission.job.stream, submission.assigned.workHashes);
        throw error;
      });
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
  // Only a contract needs the chain, or what is left of one.
  const needsChain = config.contract !== undefined || hasLadders(config.closeDir);
  const chain = needsChain && config.chain ? startChain(config.network, config.chain, log) : undefined;
  const ladders = ladderWriter(config, log);
  const closing = new ClosingOnly(config, { contracts, part: chain, log: log.child({ part: 'ladders' }) });
  const facts: ProxyParts = {
    ...{ config, mining, meters, hashrate, work, ledger, clock, signer, contracts, closing },
    ...(chain === undefined ? {} : { chain }),
    upkeep: memory.upkeep,
  };
  const build = { version: VERSION, commit: COMMIT, kernel: kernel.name, ledger: ledger.engine };
  const metrics = createMetrics({ role: 'proxy', build }, proxySources(facts));
  observers.observe = metrics.observe;
  const ops = new OpsServer(
    { listen: config.metrics.listen, allowedHosts: config.metrics.allowedHosts, token },
    {
      ...{ metrics, timers, log: log.child({ part: 'http' }) },
      checks: readyChecks(facts),
      status: () => proxyStatus(facts),
      views: { dag: () => mining.braidpoolNodes.map(({ newest }) => newest) },
      actions: proxyChannelActions(contracts),
    },
  );
  const httpAt = await ops.start();
  await closing.unless(memory.unusable, () => serveContract(facts, crash, ladders, log));
  await mining.start();
  const renewal = new Renewal(config.dataDir, { fault: () => diskFault(facts), timers, log });
  return {
    renewal: renewal.due,
    ready: {
      stratum: addressText(mining.server.addresses()[0]!),
      listeners: mining.server.addresses().slice(1).map(addressText),
      http: `${httpAt.host}:${httpAt.port}`,
      contract: contracts.first?.contractId ?? null,
      node_id: toHex(nodeIdBytes(signer)),
    },
    close: async () => {
      renewal.stop();
      await mining.stop();
      await contracts.stop();
      await ladders.idle();
      await closing.stop();
      stopChain(chain);
      await memory.close();
      await ops.close();
    },
  };
}

/** What a new start can mend: a ledger that is damaged, or of another program, is for a person. */
function diskFault({ ledger, closing }: ProxyParts): string | undefined {
  const { reason } = closing;
  if (reason !== undefined) return reason.code === 'ledger_io' ? reason.code : undefined;
  return ledger.stats.failed ? 'ledger_io' : undefined;
}

function contractDestination({ destinations }: ProxyConfig): string | undefined {
  return destinations.find(({ role }) => role === 'contract')?.name;
}

/** A disk that fails is said once in a while, not with each state. */
function ladderWriter({ closeDir }: ProxyConfig, log: Logger): LadderWriter {
  return new LadderWriter(closeDir, { clock, timers, log: limited(log, LADDER_WARN_MS, clock) });
}

/** The contract of the configuration, if it has one. */
async function serveContract(
  facts: ProxyParts,
  crash: CrashPoint,
  ladders: LadderWriter,
  log: Logger,
): Promise<void> {
  const { config, contracts, mining, work, ledger, signer, chain } = facts;
  if (config.contract === undefined || chain === undefined) return;
  const onStatus = contractListener(mining, work, config);
  const runner = await contracts.start(config.network, config.contract, {
    ...{ ...chain, ledger, signer, clock, timers, random: systemRandom, onStatus, ladders },
    log: log.child({ part: 'contract' }),
    blobFiles: blobFilesIn(join(config.dataDir, 'peer-blobs')),
    connect: crash.connect,
    externalSigning: fileExternalSigning(join(config.dataDir, 'requests')),
  });
  if (runner !== undefined) onStatus(runner.side.status, runner.shareDifficulty);
}

/** Tells mining what a contract wants: its work is that of the destination for contracts. */
function contractListener(
  mining: Mining,
  work: DestinationWork,
  config: ProxyConfig,
): ContractRunnerDeps['onStatus'] {
  const destination = contractDestination(config);
  assert(destination !== undefined, 'contract_has_destination');
  return ({ contractId, live }, difficulty) => {
    work.assign(contractId, destination);
    mining.setContract({ contractId, destination, difficulty, isDelivering: live });
  };
}

/** Histograms exist only once everything they describe does. */
type Observers = { observe?: MetricObservers<'proxy'> };

function addressText({ address, port }: AddressInfo): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function readyChecks({ mining, ledger, contracts, chain, closing }: ProxyParts) {
  return {
    ...(chain === undefined ? {} : { chain: () => chainCheck(chain) }),
    ledger: () => closing.reason?.message ?? ledgerCheck(ledger, clock),
    upstream: () =>
      mining.destinations.some(({ health }) => isServing(health)) || 'no destination gives work',
    channel: () => contracts.frozen === undefined || `frozen: ${contracts.frozen}`,
  } as const;
}

/** For `/readyz`: the ledger takes writes and does not lag. */
export function ledgerCheck({ stats }: Pick<Ledger, 'stats'>, { monotonicMs }: Clock): true | string {
  const { failed, queuedWrites, lastCommitAtMonotonicMs } = stats;
  if (failed) return 'failed';
  const isLate = queuedWrites > 0 && monotonicMs() - lastCommitAtMonotonicMs > COMMIT_AGE_MS;
  return isLate ? 'commits are late' : true;
}
