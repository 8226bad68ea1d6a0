import { createWriteStream, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { sleep, systemClock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { type AsicFleet, startAsics } from '../devnet/asic/asic.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../devnet/devnet.ts';
import { demoAsics, type Stage, type StageOptions, startStage } from '../devnet/stage.ts';
import { openSqliteLedger } from '../ledger/sqlite-ledger.ts';
import { silentLogger } from '../log/logger.ts';
import { requestAction } from '../operator/daemon-action.ts';
import { evidenceLines } from '../work/evidence-lines.ts';
import { DaemonProcess } from './child.ts';
import type { DemoSnapshot, MinerRow } from './demo-view.ts';
import { fetchStatus, type ProxyStatusAnswer, readStatus } from './status-client.ts';

export type DemoOptions = {
  readonly seconds: number;
  /** The part of the beads that pay another than the maker, from 0 to 1. */
  readonly thief: number;
  /** What binds the work: beads that pay the maker, or jobs of a pool of the maker. */
  readonly binding: 'bead' | 'work';
  readonly directory: string;
  readonly stratum: { readonly host: string; readonly port: number };
  readonly onView: (snapshot: DemoSnapshot) => void;
  /** Ends the streaming early; the channel is still closed. */
  readonly signal: AbortSignal;
};

/** The miners do a little over one step a second: the contract is then about half done. */
const STEPS_PER_SECOND = 2.5;

const BLOCK_INTERVAL_MS = 3_000;
const VIEW_MS = 500;
const START_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 60_000;
/** Marks a directory of ours, so that nothing else is ever removed. */
const MARKER = '.sharestream-demo';

type Status = ProxyStatusAnswer;

/** Everything on one machine: resolves to the summary of the run (the object that `--json` prints). */
export async function runDemo(options: DemoOptions): Promise<Record<string, unknown>> {
  const directory = prepareDirectory(options.directory);
  const log = silentLogger;
  const stage = await startStage(stageOptions(directory, options), {
    clock: systemClock,
    random: systemRandom,
    log,
  });
  const undo: (() => Promise<unknown>)[] = [() => stage.close()];
  try {
    const maker = daemonOf('maker', stage, directory);
    undo.unshift(() => maker.stop());
    await maker.start();
    const proxy = daemonOf('proxy', stage, directory);
    undo.unshift(() => proxy.stop());
    await proxy.start();
    const demo = new Demo(options, stage);
    await demo.until('opening the channel', (status) => status.contract?.live === true, START_TIMEOUT_MS);
    const fleet = await startAsics(demoAsics(stage.stratum));
    undo.unshift(() => fleet.stop());
    await demo.stream();
    const reports = await fleet.stop();
    await requestAction(stage.proxy.metricsUrl, stage.proxy.dataDir, 'channel/close');
    const isConfirmed = (status: Status) => (status.contract?.channel.close_confirmations ?? 0) > 0;
    const status = await demo.until('closing the channel', isConfirmed, CLOSE_TIMEOUT_MS);
    const bought =
      options.binding === 'bead' ? { beads: await soldBeads(stage) } : { pool: await poolShares(stage) };
    await proxy.stop();
    await maker.stop();
    const evidence = await writeEvidence(stage, status, directory);
    return { ...summary(status, reports, stage, evidence), ...bought };
  } finally {
    for (const step of undo) await step();
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #stage: Stage;
  #streamStartMs: number | undefined;

  constructor(options: DemoOptions, stage: Stage) {
    this.#options = options;
    this.#stage = stage;
  }

  /** Waits for the proxy to say so, showing the view meanwhile. Throws `peer_timeout`. */
  async until(phase: string, isDone: (status: Status) => boolean, timeoutMs: number): Promise<Status> {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    for (;;) {
      const status = await this.#look(phase);
      if (status !== undefined && isDone(status)) return status;
      if (systemClock.monotonicMs() > endMs) {
        throw new CodedError(
          'peer_timeout',
          `${phase} took too long; see the logs in ${this.#options.directory}`,
        );
      }
      await sleep(systemTimers, VIEW_MS);
    }
  }

  async stream(): Promise<void> {
    this.#streamStartMs = systemClock.monotonicMs();
    const endMs = this.#streamStartMs + this.#options.seconds * 1000;
    while (systemClock.monotonicMs() < endMs && !this.#options.signal.aborted) {
      await this.#look('streaming');
      const left = endMs - systemClock.monotonicMs();
      await sleep(systemTimers, Math.max(0, Math.min(VIEW_MS, left)), this.#options.signal);
    }
  }

  async #look(phase: string): Promise<Status | undefined> {
    const status = await readStatus(this.#stage.proxy.metricsUrl);
    if (status !== undefined) this.#options.onView(this.#snapshot(phase, status));
    return status;
  }

  #snapshot(phase: string, status: Status): DemoSnapshot {
    const { stratum, chain, proxy, maker } = this.#stage;
    const channel = status.contract?.channel;
    const startMs = this.#streamStartMs;
    const elapsed = startMs === undefined ? 0 : (systemClock.monotonicMs() - startMs) / 1000;
    return {
      elapsedSeconds: Math.min(elapsed, this.#options.seconds),
      totalSeconds: this.#options.seconds,
      phase,
      stratumListen: `${stratum.host}:${stratum.port}`,
      hashesPerSecond: status.hashrate.hashes_per_second,
      miners: minerRows(status),
      accepted: status.shares.accepted,
      rejected: status.shares.rejected,
      workHashes: BigInt(status.contract?.work_hashes ?? 0),
      workTotalHashes: BigInt(status.contract?.work_total_hashes ?? 0),
      stepHashes: DEVNET_STEP_HASHES,
      stateNumber: channel?.state_number ?? 0,
      settledSat: BigInt(channel?.settled_sat ?? 0),
      signedSat: BigInt(channel?.signed_sat ?? 0),
      accruedSat: BigInt(channel?.accrued_sat ?? 0),
      unspentSat: BigInt(channel?.unspent_sat ?? 0),
      blocks: status.blocks_found,
      tipHeight: chain.height,
      directory: resolve(this.#options.directory),
      pageUrls: { proxy: `${proxy.metricsUrl}/`, maker: `${maker.metricsUrl}/` },
      isStopping: this.#options.signal.aborted,
    };
  }
}

/** Workers by name, as they stand in the status. */
function minerRows({ miners }: Status): MinerRow[] {
  return miners
    .flatMap(({ workers }) => workers)
    .map(({ name, hashes_per_second: hashesPerSecond, accepted, rejected }) => {
      return { worker: name, hashesPerSecond, accepted, rejected };
    })
    .sort((a, b) => (a.worker < b.worker ? -1 : 1));
}

function stageOptions(directory: string, options: DemoOptions): StageOptions {
  return {
    directory,
    stratum: options.stratum,
    bits: DEVNET_BITS,
    blockIntervalMs: BLOCK_INTERVAL_MS,
    shareDifficulty: DEVNET_SHARE_DIFFICULTY,
    stepHashes: DEVNET_STEP_HASHES,
    workTotalHashes: DEVNET_STEP_HASHES * BigInt(Math.ceil(options.seconds * STEPS_PER_SECOND) + 10),
    priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH,
    thiefPart: options.thief,
    ...(options.binding === 'bead' ? {} : { makerPoolDifficulty: DEVNET_SHARE_DIFFICULTY * 2 }),
  };
}

function daemonOf(role: 'proxy' | 'maker', stage: Stage, directory: string): DaemonProcess {
  return new DaemonProcess(
    { role, configFile: stage[role].configFile, logFile: join(directory, `${role}.log`) },
    { timers: systemTimers },
  );
}

/** A fresh directory; only one that an earlier demo made is emptied. Throws `usage`. */
function prepareDirectory(path: string): string {
  const directory = resolve(path);
  const marker = join(directory, MARKER);
  mkdirSync(directory, { recursive: true });
  if (existsSync(marker)) {
    for (const name of ['proxy', 'maker', 'proxy.log', 'maker.log', 'evidence.jsonl']) {
      rmSync(join(directory, name), { recursive: true, force: true });
    }
  } else if (existsSync(join(directory, 'proxy')) || existsSync(join(directory, 'maker'))) {
    throw new CodedError(
      'usage',
      `${directory} holds something else; give the demo a directory of its own`,
    );
  }
  writeFileSync(marker, '');
  return directory;
}

/** What the maker counts of the beads of the contract: they are what it bought. */
async function soldBeads({ maker, node }: Stage): Promise<Record<string, unknown>> {
  const { contracts } = (await fetchStatus(maker.metricsUrl)) as { contracts?: { beads?: object }[] };
  return { ...contracts?.[0]?.beads, redirected: node.stats.stolenBeads };
}

/** What the pool of the maker accepted of the work, and the blocks among it. */
async function poolShares({ maker, makerPool }: Stage): Promise<Record<string, unknown>> {
  const { pools } = (await fetchStatus(maker.metricsUrl)) as {
    pools?: { solutions: { accepted: number } }[];
  };
  return { accepted: pools?.[0]?.solutions.accepted ?? 0, blocks: makerPool?.stats.blocks ?? 0 };
}

type Evidence = { readonly file: string; readonly shares: number; readonly workHashes: bigint };

/** Everything a stranger needs to recompute the run (README, Evidence). */
async function writeEvidence(stage: Stage, status: Status, directory: string): Promise<Evidence> {
  const file = join(directory, 'evidence.jsonl');
  const path = join(stage.proxy.dataDir, 'ledger.sqlite');
  const ledger = await openSqliteLedger({ path, readOnly: true }, { log: silentLogger });
  const out = createWriteStream(file);
  let shares = 0;
  let workHashes = 0n;
  try {
    for await (const line of evidenceLines(ledger, status.contract!.id)) {
      out.write(`${line}\n`);
      const record = JSON.parse(line) as { type: string; work?: string };
      if (record.type !== 'share') continue;
      shares += 1;
      workHashes += BigInt(record.work!);
    }
  } finally {
    await ledger.close();
    await new Promise<void>((done) => out.end(done));
  }
  return { file, shares, workHashes };
}

function summary(
  status: Status,
  asics: Awaited<ReturnType<AsicFleet['stop']>>,
  stage: Stage,
  evidence: Evidence,
): Record<string, unknown> {
  const contract = status.contract!;
  const { channel } = contract;
  return {
    shares: { ...status.shares, in_evidence: evidence.shares },
    work_hashes: evidence.workHashes.toString(),
    price_msat_per_eh: contract.price_msat_per_eh,
    step_hashes: contract.step_hashes,
    state_number: channel.state_number,
    signed_work_hashes: channel.signed_work_hashes,
    paid_sat: channel.paid_sat,
    contract_id: contract.id,
    funding_txid: channel.funding_txid,
    funding_tx_hex: channel.funding_tx_hex,
    close_txid: channel.close_txid,
    close_tx_hex: channel.close_tx_hex,
    close_confirmed: channel.close_confirmations > 0,
    blocks_found: status.blocks_found,
    chain_height: stage.chain.height,
    asics: asics.map(({ worker, behaviour, submitted, accepted, rejected }) => {
      return { worker, behaviour, submitted, accepted, rejected };
    }),
    evidence: evidence.file,
  };
}
