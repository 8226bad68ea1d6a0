import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ChainAuth, ChainConfig, ChainNodeConfig, LedgerConfig, ProxyConfig } from './config.ts';
import { resolvePath, secretFileProblem, textFileProblem } from './secrets.ts';
import type { HostPort } from './values.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** What the checks that span several options need. */
export type Context = {
  readonly refuse: (path: string, message: string) => void;
  /** Absolute path of a path in the configuration. */
  readonly path: (path: string) => string;
  /** As `path`, and refuses a file that others may read or that is not there. */
  readonly secretFile: (option: string, path: string) => string;
  /** As `path`, and refuses a file that is not there. */
  readonly textFile: (option: string, path: string) => string;
};

export function contextOf(base: string, env: Env, refuse: Context['refuse']): Context {
  const path = (text: string): string => resolvePath(text, base, env);
  const secretFile = (option: string, text: string): string => {
    const file = path(text);
    const problem = secretFileProblem(file, env);
    if (problem !== undefined) refuse(option, `cannot be used: ${problem}`);
    return file;
  };
  const textFile = (option: string, text: string): string => {
    const file = path(text);
    const problem = textFileProblem(file);
    if (problem !== undefined) refuse(option, `cannot be used: ${problem}`);
    return file;
  };
  return { refuse, path, secretFile, textFile };
}

type LedgerValues = {
  readonly keep: number;
  readonly url: string | undefined;
  readonly instance: string | undefined;
  readonly site: string | undefined;
  readonly passwordFile: string | undefined;
  readonly tlsCaFile: string | undefined;
  readonly singleServer: boolean;
  /** None of a proxy's. */
  readonly standby?: number | undefined;
};

type CommonValues = {
  readonly network: ProxyConfig['network'];
  readonly dataDir: string;
  readonly ledger: LedgerValues;
  readonly log: ProxyConfig['log'];
  readonly metrics: { readonly listen: HostPort; readonly allowedHosts: readonly string[] };
  readonly keys: { readonly seedFile: string | undefined; readonly nodeNumber: number };
};

type CommonConfig = Pick<ProxyConfig, 'network' | 'dataDir' | 'ledger' | 'log' | 'metrics' | 'keys'>;

export function commonOf(values: CommonValues, context: Context): CommonConfig {
  const { network, log, metrics, keys } = values;
  const ledger = { keepMs: values.ledger.keep, postgres: postgresOf(values.ledger, context) };
  const dataDir = context.path(values.dataDir);
  const seedFile = keys.seedFile === undefined ? join(dataDir, 'seed') : context.path(keys.seedFile);
  // A seed that does not exist yet is for `keys new` to make; one that others can read is refused now.
  if (existsSync(seedFile)) context.secretFile('keys.seed_file', seedFile);
  return {
    network,
    dataDir,
    ledger,
    log,
    metrics,
    keys: { seedFile, isNamed: keys.seedFile !== undefined, nodeNumber: keys.nodeNumber },
  };
}

function postgresOf(values: LedgerValues, context: Context): LedgerConfig['postgres'] {
  const { url, instance, site, passwordFile, tlsCaFile, singleServer, standby } = values;
  if (url === undefined) {
    const lonely = { instance, site, password_file: passwordFile, tls_ca_file: tlsCaFile, standby };
    for (const [name, value] of Object.entries(lonely))
      if (value !== undefined) context.refuse(`ledger.${name}`, 'is of a PostgreSQL: name ledger.url too');
    return undefined;
  }
  if (instance === undefined) {
    context.refuse(
      'ledger.instance',
      'is missing: several daemons may use one PostgreSQL, each by its name',
    );
    return undefined;
  }
  const secret =
    passwordFile === undefined ? undefined : context.secretFile('ledger.password_file', passwordFile);
  const ca = tlsCaFile === undefined ? undefined : context.textFile('ledger.tls_ca_file', tlsCaFile);
  const place = { url, instance, site: site ?? '', passwordFile: secret, tlsCaFile: ca };
  return { ...place, singleServer, standbyMs: standby };
}

type NodeValues = {
  readonly user: string | undefined;
  readonly passwordFile: string | undefined;
  readonly cookieFile: string | undefined;
};

type ChainValues = NodeValues & {
  readonly rpcUrl: string | undefined;
  readonly poll: number;
  readonly feeRate: number;
  readonly blockInterval: number | undefined;
  readonly nodes: readonly (NodeValues & { readonly rpcUrl: string })[];
};

const BLOCK_INTERVAL_MS = 600_000;

/** Undefined where no node is named. */
export function chainOf(
  values: ChainValues,
  network: ProxyConfig['network'],
  context: Context,
): ChainConfig | undefined {
  const { rpcUrl, poll, feeRate, blockInterval, nodes } = values;
  const own = rpcUrl === undefined ? [] : [{ rpcUrl, auth: authOf(values, 'chain', context) }];
  const others = nodes.map((node, index): ChainNodeConfig => {
    const auth = authOf(node, `chain.nodes.${index}`, context);
    return { rpcUrl: node.rpcUrl, auth };
  });
  const [first, ...otherNodes] = [...own, ...others];
  for (const [index, { rpcUrl: url }] of others.entries()) {
    if ([...own, ...others.slice(0, index)].some((each) => each.rpcUrl === url))
      context.refuse(`chain.nodes.${index}.rpc_url`, 'is named twice: one node is no second way out');
  }
  if (first === undefined) return undefined;
  const blockIntervalMs = blockInterval ?? (network === 'regtest' ? 0 : BLOCK_INTERVAL_MS);
  return { ...first, otherNodes, pollMs: poll, feeRateSatPerKvb: feeRate, blockIntervalMs };
}

function authOf(values: NodeValues, path: string, context: Context): ChainAuth {
  const { user, passwordFile, cookieFile } = values;
  if (cookieFile !== undefined) {
    if (passwordFile !== undefined || user !== undefined) {
      context.refuse(`${path}.cookie_file`, `and ${path}.user with password_file exclude each other`);
    }
    return { type: 'cookie', cookieFile: context.path(cookieFile) };
  }
  if (user === undefined && passwordFile === undefined) return { type: 'none' };
  if (user === undefined || passwordFile === undefined) {
    const missing = user === undefined ? `${path}.user` : `${path}.password_file`;
    context.refuse(missing, 'is missing: user and password_file belong together');
    return { type: 'none' };
  }
  return {
    type: 'password',
    user,
    passwordFile: context.secretFile(`${path}.password_file`, passwordFile),
  };
}
