import { withTimeout } from '../base/clock.ts';
import type { MakerConfig, ProxyConfig } from '../config/config.ts';
import { type Diagnosis, type DoctorDeps, failed } from './diagnosis.ts';
import { checkLedgerServer } from './doctor-ledger.ts';
import { checkDisk, checkFiles, checkMachine, checkPorts, type PortUse } from './doctor-local.ts';
import { checkMakerAnswers, checkNode, checkUpstream } from './doctor-remote.ts';

type Check = {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<readonly Diagnosis[]>;
};

/** Everything a start depends on, looked at side by side. Ends within the time-out of one check. */
export async function diagnose(
  config: ProxyConfig | MakerConfig,
  configFile: string | undefined,
  deps: DoctorDeps,
): Promise<Diagnosis[]> {
  const found = await Promise.all(checksOf(config, configFile, deps).map((check) => bounded(check, deps)));
  return found.flat();
}

function checksOf(
  config: ProxyConfig | MakerConfig,
  configFile: string | undefined,
  deps: DoctorDeps,
): Check[] {
  const { chain, metrics, network } = config;
  const nodes = chain === undefined ? [] : [chain, ...chain.otherNodes];
  const local: Check[] = [
    { name: 'machine', run: async () => checkMachine(config) },
    { name: 'files', run: async () => checkFiles(config, configFile, deps.env) },
    { name: 'disk', run: async () => checkDisk(config.dataDir) },
    { name: 'ledger', run: async () => await checkLedgerServer(config.ledger) },
    { name: 'ports', run: (signal) => checkPorts(portsOf(config), metrics.listen, signal) },
  ];
  const asked = nodes.map((node): Check => {
    const price = 'stratum' in config ? config.contract?.priceMsatPerEh : config.policy.maxPriceMsatPerEh;
    const wants = { network, ...(price === undefined ? {} : { priceMsatPerEh: price }) };
    return { name: `node ${hostOf(node.rpcUrl)}`, run: (signal) => checkNode(node, wants, deps, signal) };
  });
  if (!('stratum' in config)) return [...local, ...asked];
  const pools = config.destinations.map((row): Check => {
    return { name: `upstream ${row.name}`, run: (signal) => checkUpstream(row, deps, signal) };
  });
  const { contract } = config;
  const maker: Check[] =
    contract === undefined
      ? []
      : [
          {
            name: 'maker',
            run: (signal) => checkMakerAnswers(contract, config, deps, signal),
          },
        ];
  return [...local, ...asked, ...pools, ...maker];
}

function portsOf(config: ProxyConfig | MakerConfig): PortUse[] {
  const http: PortUse = { what: 'metrics.listen', ...config.metrics.listen };
  if (!('stratum' in config)) return [{ what: 'peer.listen', ...config.peer.listen }, http];
  const { listen, listeners } = config.stratum;
  const others = listeners.map((one, index) => ({ what: `stratum.listener.${index}`, ...one.listen }));
  return [{ what: 'stratum.listen', ...listen }, ...others, http];
}

async function bounded(
  { name, run }: Check,
  { timers, timeoutMs }: DoctorDeps,
): Promise<readonly Diagnosis[]> {
  try {
    return await withTimeout(timers, timeoutMs, (signal) => Promise.race([run(signal), aborted(signal)]));
  } catch (error) {
    return [failed(name, error)];
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

function hostOf(url: string): string {
  return new URL(url).host;
}
