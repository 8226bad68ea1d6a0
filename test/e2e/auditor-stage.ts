import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { loadOrCreateSeed } from '../../src/channel/key-file.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { fetchStatus, type ProxyStatusAnswer, readStatus } from '../../src/daemon/status-client.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import { DEVNET_PRICE_MSAT_PER_EH } from '../../src/devnet/devnet.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { identity, type Stage, type StageRole, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { requestAction } from '../../src/operator/daemon-action.ts';
import type { MakerStatusAnswer } from '../api/all-operations.ts';
import { answer } from '../cli/program.ts';
import { until } from './evidence.ts';
import { fastClock } from './fast-clock.ts';

/** A minute of the logs takes three seconds; with 1 all of it can be watched at its own speed. */
const FACTOR = Number(process.env['AUDITOR_CLOCK'] ?? 20);
/** Promised by the wall clock of the daemons, and what miners have by that of the machine: much more. */
const RATE_HPS = 800;
const FLEET_HPS = RATE_HPS * FACTOR * 5;
/** What is due in a minute is more than twenty shares, and two silent ones are no chance. */
const SHARE_DIFFICULTY = 2 ** -22;
const POOL_DIFFICULTY = 2 * SHARE_DIFFICULTY;
const STEP_HASHES = 2n ** 16n;
const COLLATERAL_SAT = 30_000n;
const MAKER_BOND_SAT = 10_000n;
/** The least a maker agrees to. */
const CURE_BLOCKS = 6;
const PATIENCE_MS = 120_000;
/** How much longer all takes than by the clock above. */
export const SLOWER = Math.max(1, 20 / FACTOR);

type Role = 'proxy' | 'maker' | 'auditor';
type Side = 'miner' | 'maker';
type Ruling = { readonly verdict: string; readonly words: string };
type Contract = NonNullable<ProxyStatusAnswer['contract']>;

/** A bond of the channel on the chain, and where it went. */
export type SettledBond = {
  readonly owner: Side;
  readonly valueSat: bigint;
  readonly paid: readonly { readonly sat: bigint; readonly scriptHex: string }[];
};

type ShownChannel = {
  readonly contract: string;
  readonly funding_txid: string;
  readonly funding_vout: number;
  readonly split: Readonly<Record<'miner_bond_sat' | 'maker_bond_sat', string>>;
};

export type AuditorStageOptions = {
  readonly directory: string;
  /** Blocks after which an owner takes its bond back alone. */
  readonly csvBlocks: number;
  /** Of the miners, by the clock of the machine. */
  readonly hashesPerSecond?: number;
  /** Loaded with the maker. */
  readonly makerHooks?: readonly string[];
  readonly makerEnv?: Readonly<Record<string, string>>;
};

/** Tells of what is waited for, while it is. */
const untilSeen = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
  until(what, look, PATIENCE_MS * SLOWER);

/**
 * A proxy, a market maker and an auditor as processes, on a chain that stands still without miners, with a
 * contract that promises delivery and has bonds of both.
 */
export class AuditorStage {
  readonly stage: Stage;
  readonly scripts: Readonly<Record<Side, string>>;
  readonly fleet: AsicFleet;
  readonly #directory: string;
  readonly #fromHeight: number;
  /** Where the auditor tells of itself. */
  readonly auditorUrl: string;
  readonly #daemons: Readonly<Record<Role, DaemonProcess>>;
  readonly #env: Readonly<Record<Role, Readonly<Record<string, string>>>>;

  private constructor(
    stage: Stage,
    fleet: AsicFleet,
    { directory, auditorUrl }: { readonly directory: string; readonly auditorUrl: string },
    daemons: Readonly<Record<Role, DaemonProcess>>,
    env: Readonly<Record<Role, Readonly<Record<string, string>>>>,
  ) {
    this.stage = stage;
    this.fleet = fleet;
    this.#directory = directory;
    this.#fromHeight = stage.chain.height;
    this.auditorUrl = auditorUrl;
    this.#daemons = daemons;
    this.#env = env;
    const scriptOf = ({ dataDir }: StageRole): string =>
      identity(join(dataDir, 'seed'), systemRandom).scriptHex;
    this.scripts = { miner: scriptOf(stage.proxy), maker: scriptOf(stage.maker) };
  }

  /** Starts all three, and the miners; resolves once work is sold. */
  static async start(
    options: AuditorStageOptions,
    undo: (step: () => Promise<unknown>) => void,
  ): Promise<AuditorStage> {
    const { directory, csvBlocks, hashesPerSecond = FLEET_HPS, makerHooks = [], makerEnv = {} } = options;
    mkdirSync(directory, { recursive: true });
    const fast = fastClock(FACTOR);
    const stage = await startStage(
      {
        // Fewer blocks are found by miners than there are minutes to spend, and others are made in a moment.
        ...{ directory, bits: compactOfTarget((1n << 256n) / 2n ** 18n), blockIntervalMs: 86_400_000 },
        stratum: { host: '127.0.0.1', port: 0 },
        ...{ shareDifficulty: SHARE_DIFFICULTY, stepHashes: STEP_HASHES },
        ...{ workTotalHashes: STEP_HASHES * 20_000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH },
        makerPoolDifficulty: POOL_DIFFICULTY,
      },
      { clock: fast.clock, random: systemRandom, log: silentLogger },
    );
    undo(() => stage.close());
    const auditor = await writeAuditor(directory, stage);
    writeContract(stage, auditor, csvBlocks);
    const daemonOf = (role: Role, configFile: string): DaemonProcess => {
      const child = new DaemonProcess(
        { role, configFile, logFile: join(directory, `${role}.log`) },
        { timers: systemTimers },
      );
      undo(() => child.kill());
      return child;
    };
    const daemons = {
      auditor: daemonOf('auditor', auditor.configFile),
      maker: daemonOf('maker', stage.maker.configFile),
      proxy: daemonOf('proxy', stage.proxy.configFile),
    };
    const env = {
      ...{ auditor: fast.env(), proxy: fast.env() },
      maker: { ...fast.env(makerHooks), ...makerEnv },
    };
    const fleet = await startAsics([{ ...stage.stratum, worker: 'farm.rig', hashesPerSecond }]);
    undo(() => fleet.stop());
    const all = new AuditorStage(stage, fleet, { directory, auditorUrl: auditor.url }, daemons, env);
    for (const role of ['auditor', 'maker', 'proxy'] as const) await all.begin(role);
    await all.#open();
    return all;
  }

  async begin(role: Role): Promise<void> {
    await this.#daemons[role].start(60_000, this.#env[role]);
  }

  kill(role: Role): Promise<void> {
    return this.#daemons[role].kill();
  }

  log(role: Role): string {
    return readFileSync(join(this.#directory, `${role}.log`), 'utf8');
  }

  /** Of the only contract; undefined until the proxy has one. */
  async contract(): Promise<Contract | undefined> {
    return (await readStatus(this.stage.proxy.metricsUrl))?.contract ?? undefined;
  }

  /** Waits until the auditor says so, in these words. */
  untilRuled(verdict: string, says: RegExp): Promise<true> {
    return untilSeen(`a ruling: ${verdict}`, async () => {
      const page = (await fetchStatus(this.auditorUrl).catch(() => undefined)) as
        | { readonly contracts: readonly Ruling[] }
        | undefined;
      const isSo = page?.contracts.some((each) => each.verdict === verdict && says.test(each.words));
      return isSo === true ? true : undefined;
    });
  }

  /** Waits until both agree, or the maker holds, that something is to be made up; ends the time for it. */
  async cureEnds(view: 'agreed' | 'own'): Promise<void> {
    await untilSeen('a time to make up', async () => {
      const page = (await fetchStatus(this.stage.maker.metricsUrl).catch(() => undefined)) as
        | MakerStatusAnswer
        | undefined;
      const status = page?.contracts[0]?.delivery?.[view];
      return status === 'cure' || status === 'default' ? true : undefined;
    });
    this.stage.chain.generate(CURE_BLOCKS);
  }

  /**
   * Has the miner close alone, as it does by itself at its deadline, and mines until both bonds are spent:
   * what each was worth and whom it paid.
   * @param blocks mined at once when the close is there
   */
  async settled(blocks: number): Promise<readonly SettledBond[]> {
    const shown = await answer<ShownChannel>(['channel', 'show', '--config', this.stage.proxy.configFile]);
    const { contract, funding_txid, funding_vout, split } = shown;
    const { metricsUrl, dataDir } = this.stage.proxy;
    await requestAction(metricsUrl, dataDir, 'channel/force-close', { contract });
    const close = await untilSeen('the close', async () => this.#spender(funding_txid, funding_vout));
    await this.#mine(blocks, 10);
    const bonds = Object.entries({
      miner: BigInt(split.miner_bond_sat),
      maker: BigInt(split.maker_bond_sat),
    });
    const settled: SettledBond[] = [];
    for (const [owner, valueSat] of bonds) {
      const vout = close.outs.findIndex(({ value }) => value === valueSat);
      const spend = await untilSeen(`the bond of the ${owner}`, async () => {
        await this.#mine(1, 300);
        return this.#spender(close.getId(), vout);
      });
      const paid = spend.outs.map(({ value, script }) => ({ sat: value, scriptHex: toHex(script) }));
      settled.push({ owner: owner as Side, valueSat, paid });
    }
    return settled;
  }

  /** Both daemons are asked for their view of the chain meanwhile. */
  async #mine(blocks: number, pauseMs: number): Promise<void> {
    for (let block = 0; block < blocks; block += 1) {
      this.stage.chain.generate(1);
      await sleep(pauseMs);
    }
  }

  /** Waits until work is sold and a state is paid; the funding gets blocks until it is in one. */
  async #open(): Promise<void> {
    await untilSeen('a paid state', async () => {
      const contract = await this.contract();
      if (contract?.channel.state === 'funding') await this.#mine(1, 500);
      return contract?.live === true && contract.channel.state_number > 0 ? true : undefined;
    });
  }

  /** What spends an output, waiting or in a block. */
  #spender(txid: string, vout: number): Transaction | undefined {
    const { chain } = this.stage;
    const waiting = chain.mempoolSpender(txid, vout);
    if (waiting !== undefined) return chain.transaction(waiting)?.transaction;
    const heights = Array.from({ length: chain.height - this.#fromHeight }, (_, at) => chain.height - at);
    return heights
      .flatMap((height) => chain.blockAt(height)?.transactions ?? [])
      .find(({ ins }) => ins.some(({ hash, index }) => index === vout && txidOf(hash) === txid));
  }
}

const txidOf = (hash: Uint8Array): string => toHex(hash.toReversed());

/** Writes what the auditor starts with; its keys are there before. */
export async function writeAuditor(directory: string, stage: Stage) {
  const dataDir = join(directory, 'auditor');
  mkdirSync(dataDir, { mode: 0o700 });
  const seedFile = join(dataDir, 'seed');
  const nodeIdOf = (file: string): string => identity(file, systemRandom).nodeId;
  const nodeId = nodeIdOf(seedFile);
  const signer = new SeedSigner({ seed: loadOrCreateSeed(seedFile, systemRandom), network: 'regtest' });
  const [peerPort, pagePort] = await freePorts(2, systemRandom);
  const allow = [stage.proxy, stage.maker].map((role) => nodeIdOf(join(role.dataDir, 'seed')));
  const configFile = join(dataDir, 'auditor.toml');
  writeFileSync(
    configFile,
    `network = "regtest"
data_dir = "."
[peer]
listen = "127.0.0.1:${peerPort}"
[peers]
allow = ${JSON.stringify(allow)}
[metrics]
listen = "127.0.0.1:${pagePort}"
`,
    { mode: 0o600 },
  );
  return {
    ...{ configFile, keyHex: toHex(signer.publicKey('auditor')), url: `http://127.0.0.1:${pagePort}` },
    place: `\n[auditor]\naddress = "127.0.0.1:${peerPort}"\nnode_id = "${nodeId}"\n`,
  };
}

/** Writes what both sides agree on: a promise to deliver, and bonds whose fate the auditor decides. */
function writeContract(
  { proxy, maker }: Stage,
  { keyHex, place }: { readonly keyHex: string; readonly place: string },
  csvBlocks: number,
): void {
  const change = (file: string, changes: (text: string) => string): void =>
    writeFileSync(file, changes(readFileSync(file, 'utf8')) + place, { mode: 0o600 });
  change(proxy.configFile, (text) => {
    const sold = text
      .replace('max_unpaid_steps', `rate = "${RATE_HPS} H/s"\nterms_version = 3\nmax_unpaid_steps`)
      // There is no other place for the hashrate than the contract.
      .replace(/(name = "own-pool"\nurl = )"[^"]*"/, '$1"stratum+tcp://127.0.0.1:1"');
    return `${sold}
[contract.work_binding]
hardest_share = ${POOL_DIFFICULTY}

[contract.delivery]
enabled = true
cure_blocks = ${CURE_BLOCKS}

[contract.bonds]
mode = "auditor"
collateral = "${COLLATERAL_SAT} sat"
maker_bond = "${MAKER_BOND_SAT} sat"
auditor_key = "${keyHex}"
csv_blocks = ${csvBlocks}
`;
  });
  change(
    maker.configFile,
    (text) => `${text}
[policy.bonds]
modes = ["auditor"]
max_maker_bond = "${MAKER_BOND_SAT} sat"
min_collateral = "${COLLATERAL_SAT} sat"
auditors = ["${keyHex}"]
min_csv_blocks = ${csvBlocks}
`,
  );
}
