import type { Clock, Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { compactOfTarget } from '../bitcoin/target.ts';
import type { Logger } from '../log/logger.ts';
import { type BraidpoolNode, startBraidpoolNode } from './braidpool/braidpool-node.ts';
import type { BraidpoolProfileName } from './braidpool/braidpool-profile.ts';
import { DevnetChain, type PremineOutput } from './chain/chain.ts';
import { startChainRpcServer } from './chain/chain-rpc-server.ts';
import { type DevnetPool, startDevnetPool } from './pool/pool.ts';

/** Work for processors: a share at half a million hashes a second comes each quarter of a second. */
export const DEVNET_SHARE_DIFFICULTY = 2 ** -15;
export const DEVNET_STEP_HASHES = 2n ** 19n;
export const DEVNET_PRICE_MSAT_PER_EH = 2n * 10n ** 18n;
/** nBits of a block each 2^20 hashes. */
export const DEVNET_BITS = compactOfTarget((1n << 256n) / 2n ** 20n);

/** Paid by every block of the simulated node; contracts bind their work to it. */
export const POOL_SCRIPT_HEX = '0014751e76e8199196d454941c45d1b3a323f1433bd6';

export type DevnetOptions = {
  /** nBits of every block. */
  readonly bits: number;
  /** A block is mined when nobody found one for this long. Undefined: only on command. */
  readonly blockIntervalMs?: number;
  /** Of the pool. */
  readonly shareDifficulty: number;
  readonly premine?: readonly PremineOutput[];
  /** Coins of 1 BTC that anyone can spend. Default 10. */
  readonly fillerCoins?: number;
  /** Of the chain's JSON-RPC; without it, it asks for none. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** Share difficulty of a second pool, that of the maker; default none. */
  readonly makerPoolDifficulty?: number;
  /** Of the Braidpool node; default `asIs`. */
  readonly nodeProfile?: BraidpoolProfileName;
  /** Default 0: any free ports. */
  readonly ports?: DevnetPorts;
};

export type DevnetPorts = {
  readonly chain: number;
  readonly node: number;
  readonly nodeRpc: number;
  readonly pool: number;
  /** Of the second pool. Default 0: any. */
  readonly makerPool?: number;
};

/** A simulated chain with its JSON-RPC, a Braidpool node and a pool, on loopback. */
export type Devnet = {
  readonly chain: DevnetChain;
  readonly node: BraidpoolNode;
  readonly pool: DevnetPool;
  /** The pool of the maker, if there is one. */
  readonly makerPool: DevnetPool | undefined;
  /** JSON-RPC of the chain. */
  readonly rpcUrl: string;
  close(): Promise<void>;
};

export type DevnetDeps = { readonly clock: Clock; readonly random: Random; readonly log: Logger };

const ANY_PORTS: DevnetPorts = { chain: 0, node: 0, nodeRpc: 0, pool: 0 };

/** Starts it, or nothing of it. Throws `address_in_use`, `package_missing`. */
export async function startDevnet(options: DevnetOptions, deps: DevnetDeps): Promise<Devnet> {
  const { bits, blockIntervalMs, premine, fillerCoins, ports = ANY_PORTS } = options;
  const { clock, log } = deps;
  const chain = new DevnetChain(
    {
      bits,
      ...(premine === undefined ? {} : { premine }),
      ...(fillerCoins === undefined ? {} : { fillerCoins }),
    },
    { clock },
  );
  const undo: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  const opened = async <T extends { close(): Promise<void> }>(
    name: string,
    start: Promise<T>,
  ): Promise<T> => {
    const server = await start.catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      const { address, port } = error as { address?: string; port?: number };
      throw new CodedError('address_in_use', `${name}: ${address}:${port}`, {}, { cause: error });
    });
    undo.push(() => server.close());
    return server;
  };
  try {
    const rpc = await opened(
      'the chain',
      startChainRpcServer({ port: ports.chain, ...options.auth }, { chain, log }),
    );
    const node = await opened(
      'the node',
      startBraidpoolNode(
        {
          ...{ port: ports.node, rpcPort: ports.nodeRpc, poolScriptHex: POOL_SCRIPT_HEX },
          ...(blockIntervalMs === undefined ? {} : { blockIntervalMs }),
          profile: options.nodeProfile ?? 'asIs',
        },
        { ...deps, chain },
      ),
    );
    const pool = await opened(
      'the pool',
      startDevnetPool({ port: ports.pool, difficulty: options.shareDifficulty }, { ...deps, chain }),
    );
    const { makerPoolDifficulty: difficulty } = options;
    const own = { name: 'maker-pool', port: ports.makerPool ?? 0 };
    const makerPool =
      difficulty === undefined
        ? undefined
        : await opened(
            'the pool of the maker',
            startDevnetPool({ ...own, difficulty }, { ...deps, chain }),
          );
    return { chain, node, pool, makerPool, rpcUrl: rpc.url, close };
  } catch (error) {
    await close();
    throw error;
  }
}
