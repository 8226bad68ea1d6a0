import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { sleep, systemClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { systemTimers } from '../../../src/base/system-timers.ts';
import { DaemonProcess } from '../../../src/daemon/child.ts';
import { fetchStatus, readStatus } from '../../../src/daemon/status-client.ts';
import { startAsics } from '../../../src/devnet/asic/asic.ts';
import { DEVNET_BITS, DEVNET_PRICE_MSAT_PER_EH } from '../../../src/devnet/devnet.ts';
import { freePorts } from '../../../src/devnet/net/free-ports.ts';
import { startStage } from '../../../src/devnet/stage.ts';
import { verifyPostgresFleet } from '../../../src/ledger/postgres/verify-fleet.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import type { MakerStatusAnswer } from '../../api/all-operations.ts';
import { Switchboard } from '../../base/switchboard.ts';
import { until } from '../../e2e/evidence.ts';
import { signal } from './fleet-stand.ts';
import { OWNER } from './postgres-server.ts';
import { DATABASE } from './primary-and-standby.ts';
import { postgresStand } from './stand.ts';

/** How long the makers take turns; more by hand: STANDBY_ROUNDS=40. */
const ROUNDS = Number(process.env['STANDBY_ROUNDS'] ?? 3);
const STANDBY_MS = 2_000;
const INSTANCE = 'desk';
const SHARE_DIFFICULTY = 2 ** -17;
const STEP_HASHES = 2n ** 19n;

const stand = postgresStand();
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-standby-'));
const cleanups: (() => unknown)[] = [
  () => fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

function daemonOf(role: 'proxy' | 'maker', name: string, configFile: string): DaemonProcess {
  const logFile = path.join(directory, `${name}.log`);
  const daemon = new DaemonProcess({ role, configFile, logFile }, { timers: systemTimers });
  cleanups.push(async () => {
    signal(daemon, 'SIGCONT');
    await daemon.stop();
  });
  return daemon;
}

type Desk = {
  readonly name: string;
  readonly daemon: DaemonProcess;
  readonly peerPort: number;
  readonly metricsUrl: string;
};

/** Two machines of one market maker: the same keys, ledger and instance, and a data directory each. */
async function desksOf(maker: { readonly configFile: string; readonly dataDir: string }): Promise<Desk[]> {
  const ports = await freePorts(4, systemRandom);
  const url = `postgres://${OWNER}@127.0.0.1:${stand.primary.port},127.0.0.1:${stand.standby.port}/${DATABASE}`;
  return ['desk-a', 'desk-b'].map((name, at) => {
    const folder = path.join(directory, name);
    fs.mkdirSync(folder, { mode: 0o700 });
    for (const file of ['seed', 'rpc-password'])
      fs.copyFileSync(path.join(maker.dataDir, file), path.join(folder, file));
    const [peerPort, metricsPort] = [ports[2 * at]!, ports[2 * at + 1]!];
    const toml = fs
      .readFileSync(maker.configFile, 'utf8')
      .replaceAll(maker.dataDir, folder)
      .replace(/(\[peer\]\nlisten = ).*/, `$1"127.0.0.1:${peerPort}"`)
      .replace(/(\[metrics\]\nlisten = ).*/, `$1"127.0.0.1:${metricsPort}"`);
    const configFile = path.join(folder, 'config.toml');
    fs.writeFileSync(
      configFile,
      `${toml}\n[ledger]\nurl = "${url}"\ninstance = "${INSTANCE}"\nstandby = "${STANDBY_MS} ms"\n`,
    );
    const daemon = daemonOf('maker', name, configFile);
    return { name, daemon, peerPort, metricsUrl: `http://127.0.0.1:${metricsPort}` };
  });
}

/** What a desk says to a balancer; undefined where it does not answer. */
async function healthOf({ metricsUrl }: Desk): Promise<number | undefined> {
  try {
    return (await fetch(`${metricsUrl}/healthz`, { signal: AbortSignal.timeout(1_000) })).status;
  } catch {
    return undefined;
  }
}

const ENDINGS = {
  killed: async ({ daemon }: Desk) => {
    await daemon.kill();
  },
  asleep: async ({ daemon }: Desk) => {
    signal(daemon, 'SIGSTOP');
  },
  stopped: async ({ daemon }: Desk) => {
    expect(await daemon.stop()).toBe(0);
  },
} as const;

it(
  'of two makers on one ledger one buys, and the other goes on when it is killed, asleep or stopped',
  async () => {
    const stage = await startStage(
      {
        ...{ directory, bits: DEVNET_BITS, blockIntervalMs: 5_000 },
        ...{ stratum: { host: '127.0.0.1', port: 0 }, shareDifficulty: SHARE_DIFFICULTY },
        ...{ stepHashes: STEP_HASHES, workTotalHashes: STEP_HASHES * 20_000n },
        ...{ priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 16n, makerPoolDifficulty: SHARE_DIFFICULTY * 2 },
      },
      { clock: systemClock, random: systemRandom, log: silentLogger },
    );
    cleanups.push(() => stage.close());
    const [first, second] = await desksOf(stage.maker);
    expect(await first!.daemon.start()).not.toHaveProperty('standby');
    expect(await second!.daemon.start()).toMatchObject({ standby: true });
    expect([await healthOf(first!), await healthOf(second!)]).toEqual([200, 503]);

    const board = await Switchboard.listen(first!.peerPort);
    cleanups.push(() => board.close());
    const toml = fs.readFileSync(stage.proxy.configFile, 'utf8');
    fs.writeFileSync(
      stage.proxy.configFile,
      toml.replace(/(maker_url = ).*/, `$1"127.0.0.1:${board.port}"`),
    );
    const proxy = daemonOf('proxy', 'proxy', stage.proxy.configFile);
    await proxy.start();
    const asics = await startAsics(
      Array.from({ length: 3 }, (_, at) => ({
        ...{ host: '127.0.0.1', port: stage.stratum.port, worker: `farm.${at}`, hashesPerSecond: 60_000 },
      })),
    );
    cleanups.push(() => asics.stop());
    const bought = async (desk: Desk) =>
      ((await fetchStatus(desk.metricsUrl)) as MakerStatusAnswer).contracts[0];
    const goesOn = async (desk: Desk): Promise<void> => {
      const from = (await bought(desk))?.n ?? 0;
      await until(
        `${desk.name} goes on`,
        async () => (((await bought(desk))?.n ?? 0) >= from + 2 ? true : undefined),
        60_000,
      );
    };
    await goesOn(first!);

    let [works, waits] = [first!, second!];
    let mostN = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const [what, end] = Object.entries(ENDINGS)[round % 3]!;
      const n = (await bought(works))!.n;
      expect(n).toBeGreaterThanOrEqual(mostN);
      mostN = n;
      await end(works);
      await until(
        `the other begins once one is ${what}`,
        async () => ((await healthOf(waits)) === 200 ? true : undefined),
        30_000,
      );
      board.targetPort = waits.peerPort;
      board.cut();
      board.mend();
      await goesOn(waits);
      if (what === 'asleep') signal(works.daemon, 'SIGCONT');
      else expect(await works.daemon.start()).toMatchObject({ standby: true });
      await until(
        `it stands by once it was ${what}`,
        async () => ((await healthOf(works)) === 503 ? true : undefined),
        30_000,
      );
      [works, waits] = [waits, works];
    }
    await sleep(systemTimers, STANDBY_MS);
    expect([await healthOf(works), await healthOf(waits)]).toEqual([200, 503]);
    await asics.stop();
    // What was found on a block that a maker slept through is not credited, and nothing is counted twice.
    await until('both sides have the same account, to the sat', async () => {
      const row = (await bought(works))!;
      const { contract } = (await readStatus(stage.proxy.metricsUrl)) ?? {};
      const { state_number: n, signed_sat: sat } = contract?.channel ?? {};
      expect(BigInt(row.verified_work_hashes) <= BigInt(contract?.work_hashes ?? 0)).toBe(true);
      return n === row.n && row.acked_n === n && Number(sat) === Number(row.paid_sat) ? true : undefined;
    });
    for (const { daemon } of [waits, works]) expect(await daemon.stop()).toBe(0);
    const { chains, problem } = await verifyPostgresFleet({
      ...stand.options('reader'),
      instance: INSTANCE,
    });
    expect([problem, chains.every(({ verification }) => verification.ok)]).toEqual([undefined, true]);
  },
  120_000 + ROUNDS * 60_000,
);
