import { randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { requestAction } from '../../src/operator/daemon-action.ts';
import { sharestream } from '../cli/program.ts';
import { until } from '../e2e/evidence.ts';
import { ROOT } from '../source-tree.ts';

/** Processes that start and blocks that are mined: slow on a machine that does other things too. */
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const directory = mkdtempSync(join(tmpdir(), 'sharestream-optional-'));
const copy = join(directory, 'project');
/** Said by the programs of the copy when they end. */
const LAST_WORDS = 'the end of the copy';
let stage: Stage;

type Lock = {
  packages: Record<string, { dev?: true; optional?: true; devOptional?: true }>;
};

/** The project as an operator installs it: with neither optional packages nor those of development. */
function copyProject(): void {
  for (const path of ['package.json', 'src'])
    cpSync(join(ROOT, path), join(copy, path), { recursive: true });
  appendFileSync(join(copy, 'src/main.ts'), `process.stderr.write('${LAST_WORDS}\\n');\n`);
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
  for (const [path, { dev, optional, devOptional }] of Object.entries(packages)) {
    if (path === '' || dev || optional || devOptional) continue;
    const from = join(ROOT, path);
    // What is nested in a package has a row of its own.
    const filter = (file: string): boolean => !file.startsWith(join(from, 'node_modules'));
    cpSync(from, join(copy, path), { recursive: true, filter });
  }
}

beforeAll(async () => {
  copyProject();
  stage = await startStage(
    {
      directory,
      stratum: { host: '127.0.0.1', port: 0 },
      bits: compactOfTarget((1n << 256n) / 2n ** 18n),
      blockIntervalMs: 1_000,
      shareDifficulty: 2 ** -18,
      stepHashes: 2n ** 16n,
      workTotalHashes: 2n ** 16n * 100_000n,
      priceMsatPerEh: 2n * 10n ** 18n,
    },
    {
      clock: systemClock,
      random: { bytes: (size) => new Uint8Array(randomBytes(size)) },
      log: silentLogger,
    },
  );
});

afterAll(async () => {
  await stage.close();
  rmSync(directory, { recursive: true });
});

describe('without optional packages', () => {
  it('bitcore-lib is not there, and neither is what only it uses', () => {
    const packages = createRequire(join(copy, 'src/main.ts'));
    for (const name of ['bitcore-lib', 'elliptic', 'lodash'])
      expect(() => packages.resolve(name), name).toThrow('Cannot find module');
    expect(existsSync(packages.resolve('bitcoinjs-lib'))).toBe(true);
  });

  it('proxy and maker start, open a channel, pay for work and close', async () => {
    const { DaemonProcess } = (await import(
      pathToFileURL(join(copy, 'src/daemon/child.ts')).href
    )) as typeof import('../../src/daemon/child.ts');
    const daemons = (['maker', 'proxy'] as const).map((role) => {
      const { configFile } = stage[role];
      return new DaemonProcess(
        { role, configFile, logFile: join(directory, `${role}.log`) },
        { timers: systemTimers },
      );
    });
    const { host, port } = stage.stratum;
    const fleet = await startAsics([{ host, port, worker: 'farm.rig', hashesPerSecond: 60_000 }]);
    try {
      for (const daemon of daemons) await daemon.start();
      const { metricsUrl, dataDir } = stage.proxy;
      await until('a third state', async () => {
        const status = await readStatus(metricsUrl);
        return (status?.contract?.channel.state_number ?? 0) >= 3 || undefined;
      });
      await requestAction(metricsUrl, dataDir, 'channel/close');
      await until('the close', async () => {
        const status = await readStatus(metricsUrl);
        return (status?.contract?.channel.close_confirmations ?? 0) > 0 || undefined;
      });
    } finally {
      await fleet.stop();
      for (const daemon of daemons) await daemon.stop();
    }
    for (const role of ['maker', 'proxy'])
      expect(readFileSync(join(directory, `${role}.log`), 'utf8')).toContain(LAST_WORDS);
  });

  it('the simulated chain says what to install', async () => {
    const { code, stdout, stderr } = await sharestream(['demo', '--seconds', '1', '--json'], {
      main: join(copy, 'src/main.ts'),
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^package_missing: bitcore-lib is not installed\n.*npm ci/);
  });
});
