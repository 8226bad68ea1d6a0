import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import type { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { LIMITS } from '../base/limits.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import { noChain } from '../chain/no-chain.ts';
import { DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { FileMonotoneSigner } from '../channel/monotone-file.ts';
import { channelIdOf } from '../channel/params.ts';
import type { MakerConfig } from '../config/config.ts';
import { OpsServer } from '../http/server.ts';
import type { Ledger, LedgerStats } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { BeadNode } from '../maker/bead-node.ts';
import { Maker } from '../maker/maker.ts';
import type { MakerDeps } from '../maker/maker-options.ts';
import type { OpenStateSigner } from '../maker/maker-store.ts';
import type { PoolFigures } from '../maker/pool-book.ts';
import { positionFile } from '../maker/restored-ledger.ts';
import { createMetrics, type MetricObservers, type Metrics } from '../metrics/metrics.ts';
import { fundingWallet } from '../operator/chain-access.ts';
import { ledgerPlaceOf, openLedger } from '../operator/ledger-place.ts';
import { servedOffer } from '../operator/maker-offer.ts';
import { type MakerSource, policyOf } from '../operator/maker-policy.ts';
import { PeerServer } from '../peer/transport.ts';
import { fileExternalSigning } from '../settlement/external-signing.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import { blobFilesIn } from '../settlement/peer-blobs.ts';
import { chooseKernelKind, KERNEL_CACHE } from '../shares/kernel/choose-kernel.ts';
import { createKernel } from '../shares/kernel/create-kernel.ts';
import { type Journals, openJournals } from './api-parts.ts';
import { auditorOf } from './auditor-place.ts';
import { type ChainPart, startChain, stopChain } from './chain-part.ts';
import { ClosingOnly, ladderWriter } from './closing-only.ts';
import { type Composed, composed } from './composed.ts';
import { armCrashPoint, type CrashPoint } from './crash-points.ts';
import { makeDataDir } from './data-dir.ts';
import { type Descriptors, watchDescriptors } from './descriptors.ts';
import { Durability, IDLE } from './durability.ts';
import type { LaterPart } from './later-part.ts';
import { LedgerUpkeep } from './ledger-upkeep.ts';
import { makerApi } from './maker-api.ts';
import { makerLine } from './maker-line.ts';
import { type MakerParts, makerSources } from './maker-metrics.ts';
import { ownWorkOf, poolSources } from './maker-pools.ts';
import { assertNodeKeyFits, openKeys } from './node-keys.ts';
import { startPage } from './page.ts';
import { pageOf } from './page-files.ts';
import { makerChecks } from './readiness.ts';
import { type LivePart, Reload, type RereadSource, replaceAll } from './reload.ts';
import { renewalOf } from './renewal.ts';
import { type DaemonLog, daemonSources } from './shared-metrics.ts';
import { TakenOver } from './standby.ts';
import { sayStatus } from './status-line.ts';
import { systemView } from './system-view.ts';
import { logMakerTips } from './tip-logs.ts';
import { replaceUnusable } from './unusable-ledger.ts';

const clock = systemClock;
const timers = systemTimers;

export type RunningMaker = Composed<{
  readonly reload: Reload<'maker'>;
  readonly ready: Readonly<Record<string, unknown>>;
  /** See `Renewal`. */
  readonly renewal: Promise<void>;
}>;

/**
 * Builds the market maker in order: keys, ledger, kernel, chain, contracts and peers, status page. With a
 * ledger that cannot be used it serves nobody, and takes its channels back by their files. Throws coded
 * errors for what the configuration, the chain or the port of its peers refuses.
 */
export function startMaker(
  config: MakerConfig,
  log: DaemonLog,
  source?: MakerSource & RereadSource<'maker'>,
): Promise<RunningMaker> {
  return composed((undo) => build(config, log, undo, source));
}

async function build(
  config: MakerConfig,
  log: DaemonLog,
  undo: AsyncDisposableStack,
  source: (MakerSource & RereadSource<'maker'>) | undefined,
): Promise<Omit<RunningMaker, 'close'>> {
  makeDataDir(config.dataDir);
  const signer = openKeys(config, { random: systemRandom, log });
  let observe: Partial<MetricObservers<'maker'>> = {};
  const crash = armCrashPoint('maker', config.network, process.env, { log, random: systemRandom, timers });
  let stats: () => Pick<LedgerStats, keyof typeof IDLE> = () => IDLE;
  const durability = new Durability({
    ...{ stats: () => stats(), clock, timers, log: log.child({ part: 'ledger' }) },
    onChange: () => {},
  });
  const takenOver = new TakenOver(config.ledger, () => durability.look());
  const opened = await openOrReplace(config, crash, log, {
    onFailure: (error) => takenOver.onFailure(error),
    observeCommit: (seconds) => observe.ledger_commit_seconds?.(seconds),
  });
  const { ledger, upkeep, unusable, token } = opened;
  undo.defer(() => opened.close());
  if (unusable === undefined) stats = () => ledger.stats;
  await assertNodeKeyFits(ledger, signer);
  durability.start();
  undo.defer(() => durability.stop());
  const kernelKind = await chooseKernelKind(join(config.dataDir, KERNEL_CACHE), { log });
  const kernel = createKernel(LIMITS.batchShares, kernelKind);
  const part = config.chain && startChain(config.network, config.chain, log);
  undo.defer(() => stopChain(part));
  const ladders = ladderWriter(config.closeDir, log);
  undo.defer(() => ladders.idle());
  const beads = beadNode(config, undo, log);
  const ownWork = ownWorkOf(config, {
    log,
    observe: (seconds) => observe.upstream_solution_seconds?.(seconds),
  });
  const observeBatch = (shares: number, seconds: number): void => {
    observe.validation_batch_shares?.(shares);
    observe.validation_batch_seconds?.(seconds);
  };
  const allowedNodeIds = new Set(config.peers.allow);
  const seen = { log, source, observeBatch, allowedNodeIds };
  const parts = { ...{ ledger, token, part, signer, kernel, ladders, crash, ownWork }, ...seen, ...beads };
  const maker = makerOf(config, parts, undo);
  let port: number | undefined;
  const closing = new ClosingOnly(config, {
    isServed: ({ contractId }) =>
      port !== undefined && maker.status.some((row) => row.contractId === contractId),
    ...{ part, log: log.child({ part: 'ladders' }) },
  });
  const build = { version: VERSION, commit: COMMIT, kernel: kernel.name, ledger: ledger.engine };
  const waiting: LaterPart[] = [];
  const facts = { maker, ledger, upkeep, closing, durability, part };
  const sources = () => ({
    ...makerSources(facts),
    ...poolSources(ownWork.book),
    ...daemonSources(waiting, log),
  });
  const metrics = createMetrics({ role: 'maker', build }, sources);
  observe = metrics.observe;
  undo.defer(() => maker.close());
  undo.defer(() => closing.stop());
  // First in a stop, which waits for no answer of a node.
  undo.defer(() => stopChain(part));
  if (unusable !== undefined) closing.fail(unusable);
  else {
    await closing.unless(async () => {
      port = await maker.start();
      upkeep?.start();
      logMakerTips(maker, parts, undo);
    });
  }
  closing.start();
  undo.defer(async () => upkeep?.stop());
  const descriptors = watchDescriptors(undo, { timers, log });
  const peerAt = (): string | undefined =>
    port === undefined ? undefined : hostPortText(config.peer.listen.host, port);
  const shown = { pools: () => ownWork.book.figures, descriptors, peerAt };
  const reload = new Reload(source, log);
  const journals = await openJournals('maker', config.ledger.postgres?.instance, { ledger, clock, log });
  const ops = opsServer(config, facts, { metrics, source, undo, log, reload, journals, ...shown });
  reload.add(...liveParts(facts, { allowedNodeIds, ops }));
  const httpAt = await startPage(ops, { waiting, undo, log });
  sayStatus(undo, { timers, log }, makerLine(facts));
  const fault = (): string | undefined =>
    closing.faultOf(ledger) ??
    (closing.reason === undefined && maker.isSuspended ? 'channel_frozen' : undefined);
  const renewal = renewalOf(config, { fault, timers, log });
  undo.defer(() => renewal.stop());
  return {
    renewal: Promise.race([renewal.due, takenOver.due]),
    reload,
    ready: {
      peer: peerAt() ?? null,
      ...{ http: httpAt, node_id: maker.nodeId },
    },
  };
}

/** What of a running maker goes by another configuration. */
function liveParts(
  { maker, upkeep }: Pick<MakerParts, 'maker' | 'upkeep'>,
  { allowedNodeIds, ops }: { readonly allowedNodeIds: Set<string>; readonly ops: OpsServer },
): readonly LivePart<'maker'>[] {
  return [
    {
      name: 'policy',
      inForce: () => maker.policy,
      prepare: ({ load }) => {
        const policy = policyOf(load(maker.policies.settings));
        return () => maker.policies.hold(policy);
      },
    },
    {
      name: 'peers, ledger and page',
      inForce: () => {
        return { peers: [...allowedNodeIds], keptMs: upkeep?.sealing.keptMs, hosts: ops.allowedHosts };
      },
      prepare: ({ config: { peers, ledger, metrics } }) => {
        return () => {
          replaceAll(allowedNodeIds, peers.allow);
          maker.dropUnserved();
          upkeep?.sealing.keepFor(ledger.keepMs);
          ops.setAllowedHosts(metrics.allowedHosts);
        };
      },
    },
  ];
}

/** The status page, and what it reads. */
function opsServer(
  config: MakerConfig,
  facts: MakerParts,
  deps: {
    readonly metrics: Metrics<'maker'>;
    readonly pools: () => readonly PoolFigures[];
    readonly descriptors: Pick<Descriptors, 'status'>;
    readonly peerAt: () => string | undefined;
    readonly source: MakerSource | undefined;
    readonly reload: Reload<'maker'>;
    readonly journals: Journals;
    readonly undo: AsyncDisposableStack;
    readonly log: DaemonLog;
  },
): OpsServer {
  const http = deps.log.child({ part: 'http' });
  const { metrics, pools, descriptors, peerAt, source, reload, journals, undo, log } = deps;
  const { listen, allowedHosts } = config.metrics;
  const checks = makerChecks(facts, () => peerAt() !== undefined);
  const { ledger, upkeep } = facts;
  const system = systemView({
    ...{ checks, ledger, upkeep, clock, log, explain: source && (() => source.explain({})) },
    listeners: () => [peerAt()].flatMap((at) => (at === undefined ? [] : [{ name: 'peer', at }])),
  });
  return new OpsServer(
    { listen, allowedHosts, serving: ['ledger'] },
    {
      ...{ metrics, timers, log: http, page: pageOf('maker') },
      checks,
      api: makerApi(config, facts, {
        ...{ pools, descriptors, source, reload, journals, undo, system },
        ...{ clock, timers, random: systemRandom, log: http },
      }),
    },
  );
}

/** The own Braidpool node, where one is configured; it is heard from now on. */
function beadNode(
  { braidpool }: MakerConfig,
  undo: AsyncDisposableStack,
  log: DaemonLog,
): { readonly beads?: BeadNode } {
  if (braidpool === undefined) return {};
  const parts = { clock, timers, random: systemRandom, log: log.child({ part: 'braidpool' }) };
  const beads = new BeadNode(braidpool, parts);
  beads.start();
  undo.defer(async () => beads.stop());
  return { beads };
}

function makerOf(
  config: MakerConfig,
  parts: Pick<MakerDeps, 'ledger' | 'signer' | 'kernel' | 'beads' | 'ownWork' | 'observeBatch'> & {
    readonly part: ChainPart | undefined;
    readonly ladders: LadderWriter;
    readonly crash: CrashPoint;
    readonly log: Logger;
    readonly source: MakerSource | undefined;
    readonly allowedNodeIds: ReadonlySet<string>;
    /** See `OpenedLedger`. */
    readonly token: number | undefined;
  },
  undo: AsyncDisposableStack,
): Maker {
  const requests = fileExternalSigning(join(config.dataDir, 'requests'));
  const { ledger, part, signer, kernel, ladders, crash, beads, ownWork, log, source, observeBatch } = parts;
  const { allowedNodeIds } = parts;
  const { chain, ...others } = part ?? { chain: noChain(config.network) };
  return new Maker(
    {
      ...config.peer.listen,
      allowedNodeIds,
      ...{ policy: policyOf(config), verification: { fixedTarget: true }, hasChain: part !== undefined },
      opening: {
        margins: DEFAULT_CLOSE_MARGINS,
        ...(config.chain && { fallbackFeeRateSatPerKvb: config.chain.feeRateSatPerKvb }),
      },
    },
    {
      ...{
        ledger,
        chain,
        ...others,
        signer,
        kernel,
        clock,
        timers,
        random: systemRandom,
        log: log.child({ part: 'maker' }),
      },
      ...(beads === undefined ? {} : { beads }),
      ...(observeBatch === undefined ? {} : { observeBatch }),
      ...fundingWallet(config, { chain, log: log.child({ part: 'wallet' }) }),
      ...(ownWork === undefined ? {} : { ownWork }),
      externalSigning: requests,
      ...auditorOf(config, undo, { ...parts, requests }),
      ladders,
      offer: servedOffer(config, { signer, clock }),
      ...(source === undefined ? {} : { applyPolicy: (flags) => policyOf(source.load(flags)) }),
      blobFiles: blobFilesIn(join(config.dataDir, 'peer-blobs')),
      positions: positionFile(join(config.dataDir, 'signer', 'positions')),
      openStateSigner: stateSigners(join(config.dataDir, 'signer'), {
        ...{ onStep: crash.onSignerStep, token: parts.token },
      }),
      openServer: (options, deps) => new PeerServer(options, crash.accept(deps)),
    },
  );
}

type OpenedLedger = {
  readonly ledger: Ledger;
  /** Undefined where the ledger cannot be used. */
  readonly upkeep?: LedgerUpkeep;
  readonly unusable?: CodedError;
  /** Where two programs stand by for each other: of the turn in which this one signs. */
  readonly token?: number | undefined;
  close(): Promise<void>;
};

/** Opens the ledger, or puts one in its place that keeps nothing: see `replaceUnusable`. */
async function openOrReplace(
  config: MakerConfig,
  crash: CrashPoint,
  log: Logger,
  on: {
    readonly onFailure: (error: CodedError) => void;
    readonly observeCommit: (seconds: number) => void;
  },
): Promise<OpenedLedger> {
  const place = ledgerPlaceOf(config);
  const { path } = place;
  try {
    const ledger = await openLedger(place, {
      ...{ log: log.child({ part: 'ledger' }), clock, timers },
      ...on,
    });
    const { keepMs } = config.ledger;
    const upkeep = new LedgerUpkeep({ path, keepMs }, { ledger, clock, timers, log });
    const token = config.ledger.postgres?.standbyMs === undefined ? undefined : ledger.epoch;
    return { ledger: crash.ledger(ledger), upkeep, token, close: () => ledger.close() };
  } catch (error) {
    return replaceUnusable(path, error, log);
  }
}

/**
 * What signs states, each with a file of its own that it keeps whatever becomes of the ledger. A channel
 * whose opening was lost leaves a file behind, which nothing asks for again.
 */
function stateSigners(
  directory: string,
  { token, onStep }: { readonly token: number | undefined; readonly onStep: CrashPoint['onSignerStep'] },
): OpenStateSigner {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return (options, deps) =>
    new FileMonotoneSigner(
      {
        ...{ ...options, path: join(directory, `${channelIdOf(options.params)}.json`), onStep },
        ...(token === undefined ? {} : { token }),
      },
      deps,
    );
}
