import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { loadOrCreateSeed } from '../../src/channel/key-file.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { fetchStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { demoAsics, freePorts, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { until } from './evidence.ts';

/**
 * By hand, some eight minutes, for minutes are those of the wall clock: `node test/e2e/auditor-by-hand.ts`.
 * A proxy, a market maker and an auditor as processes. The miners leave for good after some minutes; by both
 * logs the miner is in default, the channel closes with its bonds unvested by its deadline, and the auditor,
 * which is killed on the way, gives both to the maker. Nobody types anything.
 */

const directory = mkdtempSync(join(tmpdir(), 'auditor-by-hand-'));
const say = (text: string): void => void process.stdout.write(`${new Date().toISOString()} ${text}\n`);

const stage = await startStage(
  {
    ...{ directory, bits: DEVNET_BITS, blockIntervalMs: 10_000 },
    stratum: { host: '127.0.0.1', port: 0 },
    ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY, stepHashes: DEVNET_STEP_HASHES },
    ...{ workTotalHashes: DEVNET_STEP_HASHES * 4000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH },
    makerPoolDifficulty: 2 * DEVNET_SHARE_DIFFICULTY,
  },
  { clock: systemClock, random: systemRandom, log: silentLogger },
);
const nodeIdOf = (folder: string): string => {
  const seed = loadOrCreateSeed(join(folder, 'seed'), systemRandom);
  return toHex(nodeIdBytes(new SeedSigner({ seed, network: 'regtest' })));
};
const auditorDir = join(directory, 'auditor');
mkdirSync(auditorDir, { mode: 0o700 });
const auditorId = nodeIdOf(auditorDir);
const auditorSeed = loadOrCreateSeed(join(auditorDir, 'seed'), systemRandom);
const auditorKey = toHex(new SeedSigner({ seed: auditorSeed, network: 'regtest' }).publicKey('auditor'));
const [peerPort, metricsPort] = await freePorts(2, systemRandom);
const place = `\n[auditor]\naddress = "127.0.0.1:${peerPort}"\nnode_id = "${auditorId}"\n`;
const change = (file: string, changes: (text: string) => string): void =>
  writeFileSync(file, changes(readFileSync(file, 'utf8')), { mode: 0o600 });
change(stage.proxy.configFile, (text) => {
  const rated = text
    .replace('max_unpaid_steps', 'rate = "100000 H/s"\nterms_version = 3\nmax_unpaid_steps')
    .replace(/^expiry_blocks.*$/m, 'expiry_blocks = 900');
  return `${rated}${place}
[contract.delivery]
enabled = true
cure_blocks = 1

[contract.bonds]
mode = "auditor"
collateral = "30000 sat"
maker_bond = "10000 sat"
auditor_key = "${auditorKey}"
csv_blocks = 2016
`;
});
change(
  stage.maker.configFile,
  (text) => `${text}${place}
[policy.bonds]
modes = ["auditor"]
max_maker_bond = "10000 sat"
min_collateral = "10000 sat"
auditors = ["${auditorKey}"]
`,
);
const auditorConfig = join(auditorDir, 'auditor.toml');
const allow = [nodeIdOf(join(directory, 'proxy')), nodeIdOf(join(directory, 'maker'))];
writeFileSync(
  auditorConfig,
  `network = "regtest"
data_dir = "."
[peer]
listen = "127.0.0.1:${peerPort}"
[peers]
allow = ${JSON.stringify(allow)}
[metrics]
listen = "127.0.0.1:${metricsPort}"
`,
  { mode: 0o600 },
);
const daemonOf = (role: 'proxy' | 'maker' | 'auditor', configFile: string): DaemonProcess =>
  new DaemonProcess(
    { role, configFile, logFile: join(directory, `${role}.log`) },
    { timers: systemTimers },
  );
const auditor = daemonOf('auditor', auditorConfig);
const daemons = [
  auditor,
  daemonOf('maker', stage.maker.configFile),
  daemonOf('proxy', stage.proxy.configFile),
];
const logOf = (role: string): string => readFileSync(join(directory, `${role}.log`), 'utf8');
const auditorUrl = `http://127.0.0.1:${metricsPort}`;
type AuditorPage = { readonly contracts: readonly { readonly verdict: string; readonly words: string }[] };
const rulings = async (): Promise<AuditorPage['contracts']> =>
  ((await fetchStatus(auditorUrl).catch(() => undefined)) as AuditorPage | undefined)?.contracts ?? [];

let isGood = false;
try {
  for (const daemon of daemons) say(JSON.stringify(await daemon.start()));
  const fleet = await startAsics(demoAsics(stage.stratum));
  await until(
    'the auditor is told',
    async () => ((await rulings()).length > 0 ? true : undefined),
    240_000,
  );
  say('the auditor is told of the contract');
  await until(
    'three minutes are judged',
    async () => ((await rulings())[0]?.verdict === 'none' ? true : undefined),
    600_000,
  );
  say('nobody is in default; the miners leave for good');
  await fleet.stop();
  await auditor.kill();
  say('the auditor was killed');
  await systemTimersSleep(60_000);
  say(JSON.stringify(await auditor.start()));
  const ruled = await until(
    'the miner is in default',
    async () => (await rulings()).find(({ verdict }) => verdict === 'miner'),
    600_000,
  );
  say(`the auditor rules: ${JSON.stringify(ruled)}`);
  // The maker gives no bond back, so that the miner has to close alone: at the latest before the expiry.
  for (let blocks = 0; blocks < 1000 && !logOf('auditor').includes('signed a bond away'); blocks += 10) {
    stage.chain.generate(10);
    await systemTimersSleep(1_000);
  }
  await until(
    'both bonds go to the maker',
    async () => (logOf('auditor').match(/signed a bond away/g)?.length === 2 ? true : undefined),
    300_000,
  );
  say('the auditor signed both bonds away');
  const taken = await until(
    'a block has them',
    async () => {
      const lines = logOf('maker')
        .split('\n')
        .filter((line) => line.includes('bond_award'));
      return lines.length >= 2 ? lines : undefined;
    },
    300_000,
  );
  for (const line of taken) say(line);
  isGood = true;
} finally {
  for (const daemon of daemons.reverse()) await daemon.stop().catch(() => {});
  await stage.close();
  if (isGood) rmSync(directory, { recursive: true, force: true });
  else say(`not as it should be: see ${directory}`);
}
process.exit(isGood ? 0 : 1);

async function systemTimersSleep(ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    systemTimers.after(ms, resolve);
  });
}
