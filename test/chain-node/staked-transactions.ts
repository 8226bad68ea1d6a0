import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { finalizeClose, signClose } from '../../src/channel/close.ts';
import { type SignedState, signAndFinalizeState } from '../../src/channel/states.ts';
import { pay } from '../devnet/wallets.ts';
import type { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { StakedChannel } from './staked-channel.ts';

/** A channel without bonds and seal. */
export async function openOn(on: TestNode, from: Bank): Promise<StakedChannel> {
  return StakedChannel.open(on, from, () => ({}));
}

/** A state as the miner completes it at a rung. */
export function rungOf(channel: StakedChannel, state: SignedState, rung: number): Transaction {
  return Transaction.fromHex(signAndFinalizeState(channel.params, state, rung, channel.signers.miner).hex);
}

/** A child that spends the output of a side, of this version and fee. */
export function childOf(
  channel: StakedChannel,
  parent: Transaction,
  side: 'miner' | 'maker',
  changes: { readonly version: number; readonly feeSat: bigint; readonly outputs?: number },
): Transaction {
  const vout = side === 'miner' ? 0 : 1;
  const { value } = parent.outs[vout]!;
  const signer = channel.payouts[side];
  const { version, feeSat, outputs = 1 } = changes;
  return pay({
    from: [{ txid: parent.getId(), vout, valueSat: value }],
    key: {
      publicKey: signer.publicKey('wallet'),
      scriptHex: '',
      sign: (hash) => signer.signEcdsa('wallet', hash),
    },
    to: Array.from({ length: outputs }, () => ({
      scriptHex: toHex(p2wpkhScript(signer.publicKey('wallet'))),
      valueSat: (value - feeSat) / BigInt(outputs),
    })),
    version,
  });
}

/** What both sides sign together, at a fee that may be below what a node takes. */
export function closeOf(channel: StakedChannel, last: SignedState, feeSat: bigint): Transaction {
  const { params, signers } = channel;
  const signatures = {
    miner: signClose(params, last, feeSat, 'miner', signers.miner),
    maker: signClose(params, last, feeSat, 'maker', signers.maker),
  };
  return Transaction.fromHex(finalizeClose(params, last, feeSat, signatures).hex);
}
