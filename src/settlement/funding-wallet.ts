import * as fs from 'node:fs';
import * as path from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { NodeWallet } from '../chain/node-wallet.ts';
import type { ChainSource, Utxo } from '../chain/source.ts';
import { selectCoins } from '../chain/wallet.ts';
import type { ColdKey } from '../channel/cold-signer.ts';
import { coldHolder } from '../channel/cold-signer.ts';
import { type Funding, type FundingRole, type FundingSide, signFundingInputs } from '../channel/funding.ts';
import { exportPsbt, type KeyHolder, psbtFundingSignatures } from '../channel/psbt.ts';
import { publicKeyHashOutput } from '../channel/scripts.ts';
import type { Signer } from '../channel/signer.ts';
import { fundingRequest } from '../channel/signing-requests.ts';
import type { Logger } from '../log/logger.ts';
import { chooseCoins, chooseFundingSide, outpointName, walletScript } from './opening.ts';

/** A request for the coins of one side's contribution. */
export type CoinRequest = {
  readonly contributionSat: bigint;
  readonly feeRateSatPerKvb: number;
  /** Outpoints `txid:vout` reserved for other channels. */
  readonly reserved: ReadonlySet<string>;
};

export type Outpoint = Pick<Utxo, 'txid' | 'vout'>;

/** Coins kept from the other payments of a wallet that has such. */
export type WalletHolds = {
  hold(coins: readonly Outpoint[]): Promise<void>;
  release(coins: readonly Outpoint[]): Promise<void>;
  /** All that are held, by whomever. */
  held(): Promise<readonly Outpoint[]>;
};

/** The wallet that pays for fundings and signs for its coins. */
export type FundingWallet = {
  /** Left out where nobody else spends from the wallet. */
  readonly holds?: WalletHolds;
  /** Chooses coins, and holds none. Throws `insufficient_funds`. */
  choose(request: CoinRequest): Promise<FundingSide>;
  /**
   * Signatures of one side's inputs, 64 bytes in hex, in their order. May be called again. Throws
   * `funding_unsigned` while an external wallet has yet to sign.
   */
  sign(contract: SignedContract, funding: Funding, role: FundingRole): Promise<readonly string[]>;
  /** The default output script for payouts of a channel. */
  payoutScript(): Promise<Uint8Array>;
};

type SignedContract = { readonly contractId: string; readonly network: NetworkName };
type ChainDeps = { readonly chain: ChainSource };

/** The wallet of the one P2WPKH key of the seed. */
export function keyWallet(deps: ChainDeps & { readonly signer: Signer }): FundingWallet {
  const script = walletScript(deps.signer);
  return {
    choose: (request) => chooseFundingSide(request, deps),
    sign: async (_contract, funding, role) => signFundingInputs(funding, role, deps.signer),
    payoutScript: async () => script,
  };
}

/** The wallet of a bitcoind. */
export function nodeWallet(wallet: NodeWallet): FundingWallet {
  return {
    holds: {
      hold: (coins) => wallet.lock(coins),
      release: (coins) => wallet.unlock(coins),
      held: () => wallet.locked(),
    },
    choose: async ({ contributionSat, feeRateSatPerKvb, reserved }) => {
      const free = (await wallet.coins()).filter((coin) => !reserved.has(outpointName(coin)));
      const { inputs } = selectCoins(free, contributionSat, feeRateSatPerKvb);
      return { inputs, changeScript: await wallet.newScript('change') };
    },
    sign: async ({ network }, funding, role) => {
      const psbt = exportPsbt(fundingRequest(funding, network), []);
      // It may sign coins that the other side named: only the signatures of the own inputs are read.
      return psbtFundingSignatures(funding, role, network, await wallet.sign(psbt));
    },
    payoutScript: () => wallet.newScript('receive'),
  };
}

/**
 * An external wallet by PSBT files, of which only the account's public half is known; coins are those of
 * its first address. A funding is written to `<contract>.psbt`, and goes on once `<contract>.signed.psbt`
 * is there.
 */
export function fileWallet(
  options: { readonly folder: string; readonly account: ColdKey; readonly network: NetworkName },
  deps: ChainDeps & { readonly log: Logger },
): FundingWallet {
  const holder = coldHolder(options.account, options.network, [0, 0]);
  const publicKey = holder.publicKey('wallet');
  return {
    choose: (request) => chooseCoins(request, publicKey, deps.chain),
    sign: async (contract, funding, role) =>
      signByFile(options.folder, contract, { funding, role, holder }, deps),
    payoutScript: async () => publicKeyHashOutput(publicKey),
  };
}

function signByFile(
  folder: string,
  { contractId, network }: SignedContract,
  {
    funding,
    role,
    holder,
  }: { readonly funding: Funding; readonly role: FundingRole; readonly holder: KeyHolder },
  { log }: { readonly log: Logger },
): readonly string[] {
  const asked = path.join(folder, `${contractId}.psbt`);
  const answer = path.join(folder, `${contractId}.signed.psbt`);
  const text = readText(answer);
  if (text !== undefined) return psbtFundingSignatures(funding, role, network, text);
  const psbt = exportPsbt(fundingRequest(funding, network), [holder]);
  if (readText(asked) !== psbt) {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    fs.rmSync(asked, { force: true });
    writePrivateFile(asked, psbt);
  }
  log.warn({ contract: contractId, asked, answer }, 'the funding waits to be signed by the wallet');
  throw new CodedError('funding_unsigned');
}

/** Reads a file; undefined where there is none. Throws `bad_psbt` for one that cannot be read. */
function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new CodedError('bad_psbt', `the file cannot be read (${String(code)})`, {}, { cause });
  }
}
