import { BIP32Factory } from 'bip32';
import * as ecc from 'tiny-secp256k1';
import { expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { type ColdKey, ColdSigner } from '../../src/channel/cold-signer.ts';
import { psbtSignature } from '../../src/channel/psbt.ts';
import { finalizeRefund } from '../../src/channel/refund.ts';
import { refundRequest } from '../../src/channel/signing-requests.ts';
import { assembleChannel } from '../../src/peering/opening.ts';
import { loadContract } from '../../src/peering/records.ts';
import { walletSign } from '../channel/psbt-fixtures.ts';
import { seedOf, until, World } from './world.ts';

const vault = BIP32Factory(ecc).fromSeed(seedOf('vault'), NETWORKS.regtest.params);
const PATH = "m/87'/1'/0'";
const account: ColdKey = {
  xpub: vault.derivePath(PATH).neutered().toBase58(),
  fingerprintHex: toHex(vault.fingerprint),
  path: PATH,
};

it('a maker whose refund key is cold leaves the request in its ledger, and the vault completes it', async () => {
  const world = new World({ terms: { expiryHeight: 600 }, policy: { minExpiryBlocks: 300 } });
  const cold = new ColdSigner(
    { network: 'regtest', cold: { refund: account } },
    { hot: world.makerSigner },
  );
  Object.assign(world, { makerSigner: cold });
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.miner.stop();
  world.chain.generate(600 - world.chain.height);
  const asked = async (): Promise<string | undefined> =>
    world.makerStore.get('request', `${world.contractId}:refund`);
  await until('request', async () => (await asked()) !== undefined);
  expect(world.chain.mempoolEntries()).toEqual([]);
  expect(world.maker.status[0]).toMatchObject({ channel: 'open', frozen: undefined });

  const { what, psbt } = JSON.parse((await asked())!) as { what: string; psbt: string };
  expect(what).toBe('refund');
  const { opening, contract } = (await loadContract(world.makerStore, world.contractId))!;
  const { params } = assembleChannel(contract.terms, opening!.open, opening!.accept!);
  const signed = walletSign(psbt, vault);
  const signature = psbtSignature(refundRequest(params, 2000), signed, params.keys.makerRefund);
  const { hex, feeSat } = finalizeRefund(params, 2000, signature);
  world.chain.broadcast(hex);
  world.chain.generate(2);
  await until('closed', () => world.maker.status[0]!.channel === 'closed');
  const entry = (await world.source.utxos(toHex(params.makerPayoutScript))).map(({ valueSat }) => valueSat);
  expect(entry).toContain(capacitySat(world.terms) - feeSat);
  await world.stop();
});
