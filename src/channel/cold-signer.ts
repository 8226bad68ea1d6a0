import { BIP32Factory, type BIP32Interface } from 'bip32';
import * as ecc from 'tiny-secp256k1';
import { isHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { type ChannelIndex, stepsOfIndex } from './channel-index.ts';
import { CHANNEL_ROLE_BRANCH, type KeyOrigin, type KeyRole, type Signer } from './signer.ts';

/**
 * Roles whose keys may be kept in an external wallet: they sign rarely, and only return a side's own money.
 */
export const COLD_ROLES = ['refund', 'exit', 'sealExit'] as const;
/** A role whose key may be kept in an external wallet. */
export type ColdRole = (typeof COLD_ROLES)[number];

/** The public half of an account in an external wallet. */
export type ColdKey = {
  /** Extended public key of the account (BIP32 serialisation). */
  readonly xpub: string;
  /** Fingerprint of the wallet's master key (BIP32), 8 lower-case hex digits. */
  readonly fingerprintHex: string;
  /** Path from the master key to the account, all hardened: `m/87'/0'/0'` (BIP87). */
  readonly path: string;
};

export type ColdSignerOptions = {
  readonly network: NetworkName;
  readonly cold: Readonly<Partial<Record<ColdRole, ColdKey>>>;
  readonly channelIndex?: ChannelIndex;
};

type HotSigner = Signer & { forChannel(channelIndex: ChannelIndex): Signer };

/**
 * A signer some of whose keys are cold: it knows their public keys, at `account/branch/index` with the
 * branch of the role (refund 2, exit 4, sealExit 6) and the index of the channel, and refuses to sign with
 * them. The other roles are those of the hot signer. Throws `bad_key_file` for an account that is not an
 * extended public key at the depth of its path, `wrong_chain` for one of another network.
 */
export class ColdSigner implements Signer {
  readonly #options: ColdSignerOptions;
  readonly #hot: HotSigner;
  readonly #signer: Signer;
  readonly #accounts: ReadonlyMap<KeyRole, { readonly node: BIP32Interface; readonly key: ColdKey }>;

  constructor(options: ColdSignerOptions, deps: { readonly hot: HotSigner }) {
    this.#options = options;
    this.#hot = deps.hot;
    this.#signer = deps.hot.forChannel(options.channelIndex ?? 0);
    const accounts = COLD_ROLES.flatMap((role) => {
      const key = options.cold[role];
      return key === undefined ? [] : [[role, { node: readAccount(key, options.network), key }] as const];
    });
    this.#accounts = new Map(accounts);
  }

  /** The signer of the same accounts for another channel. */
  forChannel(channelIndex: ChannelIndex): ColdSigner {
    return new ColdSigner({ ...this.#options, channelIndex }, { hot: this.#hot });
  }

  publicKey(role: KeyRole): Uint8Array {
    const account = this.#accounts.get(role);
    if (account === undefined) return this.#signer.publicKey(role);
    return publicKeyAt(account.node, this.#childOf(role));
  }

  signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array {
    this.#assertHot(role);
    return this.#signer.signEcdsa(role, digest);
  }

  signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array {
    this.#assertHot(role);
    return this.#signer.signSchnorr(role, digest);
  }

  secretOf(label: Uint8Array): Uint8Array {
    return this.#signer.secretOf(label);
  }

  /** The origin of a role's key. Throws `cold_key` where the hot signer has no origins. */
  origin(role: KeyRole): KeyOrigin {
    const account = this.#accounts.get(role);
    if (account === undefined) {
      const origin = this.#signer.origin?.(role);
      if (origin === undefined)
        throw new CodedError('cold_key', `the origin of the ${role} key is not known`);
      return origin;
    }
    const { fingerprintHex, path } = account.key;
    return { fingerprintHex, path: `${path}/${this.#childOf(role).join('/')}` };
  }

  #childOf(role: KeyRole): readonly number[] {
    return [CHANNEL_ROLE_BRANCH[role as ColdRole], ...stepsOfIndex(this.#options.channelIndex ?? 0)];
  }

  #assertHot(role: KeyRole): void {
    if (this.#accounts.has(role)) {
      throw new CodedError(
        'cold_key',
        `the ${role} key is cold: export a PSBT and sign it where the key is`,
      );
    }
  }
}

/** The key holder of one key of a cold account, for signing requests. Throws as `ColdSigner`. */
export function coldHolder(
  key: ColdKey,
  network: NetworkName,
  child: readonly number[],
): Required<Pick<Signer, 'publicKey' | 'origin'>> {
  const publicKey = publicKeyAt(readAccount(key, network), child);
  const origin = { fingerprintHex: key.fingerprintHex, path: `${key.path}/${child.join('/')}` };
  return { publicKey: () => publicKey, origin: () => origin };
}

function publicKeyAt(account: BIP32Interface, child: readonly number[]): Uint8Array {
  return Uint8Array.from(child.reduce((node, step) => node.derive(step), account).publicKey);
}

function readAccount(key: ColdKey, network: NetworkName): BIP32Interface {
  if (!/^m(?:\/[0-9]{1,10}')+$/.test(key.path))
    throw new CodedError('bad_key_file', "the path of a cold account is like m/87'/0'/0'");
  if (!isHex(key.fingerprintHex, 4) || key.fingerprintHex !== key.fingerprintHex.toLowerCase())
    throw new CodedError('bad_key_file', 'the fingerprint of a cold account is 8 lower-case hex digits');
  const node = readExtendedKey(key.xpub, network);
  if (!node.isNeutered())
    throw new CodedError(
      'bad_key_file',
      'a cold account is named by its public half, never by the private one',
    );
  if (node.depth !== key.path.split('/').length - 1)
    throw new CodedError('bad_key_file', 'the extended key is not at the depth of its path');
  return node;
}

/** Parses an extended public key; its errors never quote the text, which might be a private key. */
function readExtendedKey(text: string, network: NetworkName): BIP32Interface {
  const read = (name: NetworkName): BIP32Interface | undefined => {
    try {
      return BIP32Factory(ecc).fromBase58(text, NETWORKS[name].params);
    } catch {
      return undefined;
    }
  };
  const node = read(network);
  if (node !== undefined) return node;
  const isOther = (['mainnet', 'regtest'] as const).some((name) => read(name) !== undefined);
  if (isOther) throw new CodedError('wrong_chain', `the extended key is not of ${network}`);
  throw new CodedError('bad_key_file', 'a cold account must be an extended public key');
}
