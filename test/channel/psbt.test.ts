import { Psbt, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import {
  finalizeBondReturn,
  finalizeBondSpend,
  signAndFinalizeBondReturn,
} from '../../src/channel/bonds.ts';
import { finalizeClose, signClose } from '../../src/channel/close.ts';
import { finalizeFunding, signFundingInputs } from '../../src/channel/funding.ts';
import {
  exportPsbt,
  fundingPsbt,
  psbtFundingSignatures,
  psbtSignature,
  readPsbt,
  signPsbt,
} from '../../src/channel/psbt.ts';
import { finalizeRefund, signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { publicKeyHashOutput } from '../../src/channel/scripts.ts';
import {
  finalizeSealClaim,
  finalizeSealRefund,
  signAndFinalizeSealClaim,
  signAndFinalizeSealRefund,
  signSealClaim,
} from '../../src/channel/seal.ts';
import { fundingRequest, requestDigest, stateRequest } from '../../src/channel/signing-requests.ts';
import { finalizeState, signAndFinalizeState } from '../../src/channel/states.ts';
import { secondDigest } from './consensus.ts';
import {
  auditorSigner,
  code,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  strangerSigner,
} from './fixtures.ts';
import {
  bondSpend,
  CountingSigner,
  claim,
  coin,
  funding,
  fundingAsked,
  HALF,
  last,
  params,
  privateKeyOf,
  REQUESTS,
  rootOf,
  secondWalletSign,
  walletSign,
  withInput,
} from './psbt-fixtures.ts';

const ALL = [minerSigner, makerSigner, auditorSigner];
const cases = REQUESTS.map(({ request, signers }) => [request.kind, request, signers] as const);

describe('a signing request as a PSBT', () => {
  it.each(cases)('of a %s carries coin, script, hash type and the origin of every key', (_, request) => {
    const psbt = Psbt.fromBase64(exportPsbt(request, ALL));
    const [input] = psbt.data.inputs;
    const [wanted] = request.inputs;
    expect(psbt.data.inputs).toHaveLength(1);
    expect(input!.witnessUtxo).toEqual({ script: wanted!.outputScript, value: wanted!.valueSat });
    expect(input!.witnessScript).toEqual(wanted!.witnessScript);
    expect(input!.sighashType).toBe(Transaction.SIGHASH_ALL);
    const origins = input!.bip32Derivation!.map(({ pubkey }) => toHex(pubkey));
    expect(origins.toSorted()).toEqual(wanted!.keys.map(({ publicKey }) => toHex(publicKey)).toSorted());
    const { data } = psbt;
    expect(Transaction.fromBuffer(data.globalMap.unsignedTx.toBuffer()).getId()).toBe(
      request.transaction.getId(),
    );
  });

  it.each(cases)('of a %s has the digest that a second library works out (two checks)', (_, request) => {
    const [input] = request.inputs;
    expect(secondDigest(request.transaction, 0, input!.witnessScript!, input!.valueSat)).toBe(
      toHex(requestDigest(request, 0)),
    );
  });

  it.each(cases)('of a %s is signed alike by two wallets and by the seed', (_, request, signers) => {
    for (const [party, role] of signers) {
      const text = exportPsbt(request, [party.signer]);
      const key = party.signer.publicKey(role);
      const bySeed = psbtSignature(request, signPsbt(request, text, party.signer), key);
      expect(psbtSignature(request, walletSign(text, rootOf(party)), key)).toBe(bySeed);
      expect(psbtSignature(request, secondWalletSign(text, privateKeyOf(party, role)), key)).toBe(bySeed);
    }
  });

  it('without a holder of its keys says no origin, and can still be signed with the key itself', () => {
    const { request, signers } = REQUESTS[2]!;
    const text = exportPsbt(request, [strangerSigner, new CountingSigner(makerSigner)]);
    expect(Psbt.fromBase64(text).data.inputs[0]!.bip32Derivation).toBeUndefined();
    const [party, role] = signers[0]!;
    const signed = secondWalletSign(text, privateKeyOf(party, role));
    expect(psbtSignature(request, signed, makerSigner.publicKey('refund'))).toMatch(/^[0-9a-f]{128}$/);
  });
});

describe('signatures from a PSBT', () => {
  const signedBy = (index: number, signer: (typeof ALL)[number], key: Uint8Array | undefined): string => {
    const { request } = REQUESTS[index]!;
    return psbtSignature(request, signPsbt(request, exportPsbt(request, ALL), signer), key);
  };

  it('complete what they are for, byte for byte as the seed alone would', () => {
    const { keys } = params;
    const state = signedBy(0, minerSigner, keys.minerChannel);
    expect(finalizeState(params, last, 1, state)).toEqual(
      signAndFinalizeState(params, last, 1, minerSigner),
    );
    const close = {
      miner: signedBy(1, minerSigner, keys.minerChannel),
      maker: signedBy(1, makerSigner, keys.makerChannel),
    };
    expect(close.maker).toBe(signClose(params, last, 700n, 'maker', makerSigner, 'returned'));
    expect(finalizeClose(params, last, 700n, close, 'returned').feeSat).toBe(700n);
    const refund = signedBy(2, makerSigner, keys.makerRefund);
    expect(finalizeRefund(params, 5000, refund)).toEqual(signAndFinalizeRefund(params, 5000, makerSigner));
    const ruling = {
      maker: signedBy(3, makerSigner, keys.makerBond),
      auditor: signedBy(3, auditorSigner, auditorSigner.publicKey('auditor')),
    };
    expect(finalizeBondSpend(params, bondSpend, ruling).feeSat).toBe(157n * 5n);
    const own = signedBy(4, minerSigner, keys.minerExit);
    expect(finalizeBondReturn(params, coin, 5000, own)).toEqual(
      signAndFinalizeBondReturn(params, coin, 5000, minerSigner),
    );
    const sealed = signSealClaim(params, claim, minerSigner);
    expect(signedBy(5, minerSigner, keys.minerSeal)).toBe(sealed.signature);
    expect(finalizeSealClaim(params, sealed, signedBy(5, makerSigner, keys.makerSeal))).toEqual(
      signAndFinalizeSealClaim(params, sealed, makerSigner),
    );
    const back = signedBy(6, minerSigner, keys.minerSealExit);
    expect(finalizeSealRefund(params, 1000, back)).toEqual(
      signAndFinalizeSealRefund(params, 1000, minerSigner),
    );
  });

  it('gather one after another in one PSBT', () => {
    const { request } = REQUESTS[3]!;
    let text = exportPsbt(request, ALL);
    for (const signer of [auditorSigner, minerSigner, makerSigner]) text = signPsbt(request, text, signer);
    expect(readPsbt(request, text)[0]!.size).toBe(3);
    expect(signPsbt(request, text, makerSigner)).toBe(text);
  });

  it('are read from a finished witness too', () => {
    const { request } = REQUESTS[2]!;
    const { witness } = Transaction.fromHex(signAndFinalizeRefund(params, 5000, makerSigner).hex).ins[0]!;
    const finished = (items: readonly Uint8Array[]): string =>
      withInput(exportPsbt(request, ALL), (input) => {
        const parts = items.map((item) => [item.length, ...item]);
        input.finalScriptWitness = Uint8Array.from([items.length, ...parts.flat()]);
      });
    expect(psbtSignature(request, finished(witness), params.keys.makerRefund)).toMatch(/^[0-9a-f]{128}$/);
    const { request: other } = REQUESTS[4]!;
    const foreign = Transaction.fromHex(signAndFinalizeBondReturn(params, coin, 5000, minerSigner).hex)
      .ins[0]!.witness;
    expect(other.kind).toBe('bond_return');
    expect(code(() => readPsbt(request, finished(foreign)))).toBe('bad_signature');
    const cut = withInput(exportPsbt(request, ALL), (input) => {
      input.finalScriptWitness = Uint8Array.of(3, 71, 0x30);
    });
    expect(code(() => readPsbt(request, cut))).toBe('bad_psbt');
  });

  it('are looked for in a finished witness of any size that can be read, and in no other', () => {
    const { request } = REQUESTS[0]!;
    const unsigned = exportPsbt(request, ALL);
    const withWitness = (...bytes: number[]): string =>
      code(() =>
        readPsbt(
          request,
          withInput(unsigned, (map) => {
            map.finalScriptWitness = Uint8Array.from(bytes);
          }),
        ),
      );
    const zeros = (count: number): number[] => new Array<number>(count).fill(0);
    expect(withWitness(0)).toBe('nothing thrown');
    expect(withWitness(1, 0xfc, ...zeros(0xfc))).toBe('nothing thrown');
    expect(withWitness(1, 0xfd, 0xfd, 0, ...zeros(0xfd))).toBe('nothing thrown');
    expect(withWitness(2, 0xfd, 0x02, 1, ...zeros(0x102), 1, 7)).toBe('nothing thrown');
    // One byte short, one over, a size of four bytes, more items than there are.
    expect(withWitness(1, 0xfd, 0xfd, 0, ...zeros(0xfc))).toBe('bad_psbt');
    expect(withWitness(1, 0xfc, ...zeros(0xfd))).toBe('bad_psbt');
    expect(withWitness(1, 0xfe, ...zeros(0xfe))).toBe('bad_psbt');
    expect(withWitness(1, 0xff, ...zeros(0xff))).toBe('bad_psbt');
    expect(withWitness(2, 1, 7)).toBe('bad_psbt');
  });

  it('are missed where they are not, and not taken from another key', () => {
    const { request } = REQUESTS[2]!;
    const text = exportPsbt(request, ALL);
    expect(code(() => psbtSignature(request, text, params.keys.makerRefund))).toBe('bad_signature');
    expect(code(() => psbtSignature(request, text, undefined))).toBe('bad_signature');
    expect(code(() => signPsbt(request, text, minerSigner))).toBe('bad_key_file');
    const signed = signPsbt(request, text, makerSigner);
    expect(code(() => psbtSignature(request, signed, params.keys.minerChannel))).toBe('bad_signature');
  });

  it('are never those of the maker over a state: that is for the monotone signer', () => {
    const { request } = REQUESTS[0]!;
    const signer = new CountingSigner(makerSigner);
    expect(code(() => signPsbt(request, exportPsbt(request, ALL), signer))).toBe('bad_key_file');
    expect(signer.signed).toBe(0);
    const origins = Psbt.fromBase64(exportPsbt(request, ALL)).data.inputs[0]!.bip32Derivation!;
    expect(origins).toHaveLength(2);
  });
});

describe('the funding as a PSBT', () => {
  const parties = [
    { name: 'maker', signer: makerSigner },
    { name: 'miner', signer: minerSigner },
  ] as const;

  it('goes to both wallets one after the other, and is complete then', () => {
    let text = exportPsbt(fundingAsked, [makerSigner, minerSigner]);
    for (const party of parties) text = walletSign(text, rootOf(party));
    const signatures = {
      maker: psbtFundingSignatures(funding, 'maker', 'regtest', text),
      miner: psbtFundingSignatures(funding, 'miner', 'regtest', text),
    };
    expect(signatures).toEqual({
      maker: signFundingInputs(funding, 'maker', makerSigner),
      miner: signFundingInputs(funding, 'miner', minerSigner),
    });
    expect(finalizeFunding(funding, signatures).txid).toBe(funding.txid);
  });

  it('is signed for own inputs only, alike by the second library, and a missing signature is missed', () => {
    const text = exportPsbt(fundingAsked, [makerSigner]);
    const key = privateKeyOf(parties[0], 'wallet');
    for (const signed of [secondWalletSign(text, key), signPsbt(fundingAsked, text, makerSigner)]) {
      expect(psbtFundingSignatures(funding, 'maker', 'regtest', signed)).toEqual(
        signFundingInputs(funding, 'maker', makerSigner),
      );
      expect(code(() => psbtFundingSignatures(funding, 'miner', 'regtest', signed))).toBe('bad_signature');
    }
    expect(code(() => signPsbt(fundingAsked, text, strangerSigner))).toBe('bad_key_file');
  });

  it('says where change of the own wallet goes back to, and only that', () => {
    const own = publicKeyHashOutput(makerSigner.publicKey('wallet'));
    const psbt = Psbt.fromBase64(exportPsbt(fundingAsked, [makerSigner, minerSigner]));
    expect(psbt.txOutputs.filter(({ script }) => toHex(script) === toHex(own))).toHaveLength(1);
    psbt.txOutputs.forEach(({ script }, index) => {
      const isOwn = toHex(script) === toHex(own);
      expect(psbt.data.outputs[index]!.bip32Derivation?.length ?? 0).toBe(isOwn ? 1 : 0);
    });
  });

  it('may carry the transactions of its coins, which must be those', () => {
    const previous = new Transaction();
    previous.addInput(new Uint8Array(32).fill(7), 0);
    previous.addOutput(publicKeyHashOutput(minerSigner.publicKey('wallet')), 80_000n);
    const input = { ...funding.inputs.find(({ role }) => role === 'miner')!, txid: previous.getId() };
    const transaction = new Transaction();
    transaction.version = 2;
    transaction.addInput(previous.getHash(), 0, 0xffff_fffd);
    transaction.addOutput(params.minerPayoutScript, 70_000n);
    const of = { ...funding, hex: transaction.toHex(), inputs: [input] };
    const request = fundingRequest(of, 'regtest', new Map([[input.txid, previous.toHex()]]));
    const text = exportPsbt(request, [minerSigner]);
    expect(Psbt.fromBase64(text).data.inputs[0]!.nonWitnessUtxo).toEqual(fromHex(previous.toHex()));
    expect(readPsbt(request, signPsbt(request, text, minerSigner))[0]!.size).toBe(1);
    previous.outs[0]!.value += 1n;
    const lie = withInput(text, (map) => {
      map.nonWitnessUtxo = fromHex(previous.toHex());
    });
    expect(code(() => signPsbt(request, lie, minerSigner))).toBe('bad_psbt');
  });

  it('carries the signatures of one side, each at its own input', () => {
    for (const { name, signer } of parties) {
      const signatures = signFundingInputs(funding, name, signer);
      const text = fundingPsbt(funding, 'regtest', name, signatures, signer);
      expect(psbtFundingSignatures(funding, name, 'regtest', text)).toEqual(signatures);
      const other = name === 'maker' ? 'miner' : 'maker';
      expect(code(() => psbtFundingSignatures(funding, other, 'regtest', text))).toBe('bad_signature');
      funding.inputs.forEach(({ role }, index) => {
        const { partialSig, bip32Derivation } = Psbt.fromBase64(text).data.inputs[index]!;
        expect(partialSig?.length ?? 0).toBe(role === name ? 1 : 0);
        expect(bip32Derivation?.length ?? 0).toBe(role === name ? 1 : 0);
      });
    }
  });

  it('may not carry another transaction with a coin that looks the same, nor one without that output', () => {
    const previous = new Transaction();
    previous.addInput(new Uint8Array(32).fill(7), 0);
    previous.addOutput(publicKeyHashOutput(minerSigner.publicKey('wallet')), 80_000n);
    const input = { ...funding.inputs.find(({ role }) => role === 'miner')!, txid: previous.getId() };
    const asked = (vout: number) => {
      const transaction = new Transaction();
      transaction.version = 2;
      transaction.addInput(previous.getHash(), vout, 0xffff_fffd);
      transaction.addOutput(params.minerPayoutScript, 70_000n);
      const of = { ...funding, hex: transaction.toHex(), inputs: [{ ...input, vout }] };
      return fundingRequest(of, 'regtest');
    };
    const carrying = (vout: number, carried: Transaction): string =>
      withInput(exportPsbt(asked(vout), [minerSigner]), (map) => {
        map.nonWitnessUtxo = fromHex(carried.toHex());
      });
    expect(readPsbt(asked(0), carrying(0, previous))).toHaveLength(1);
    const twin = previous.clone();
    twin.locktime = 9;
    expect(code(() => readPsbt(asked(0), carrying(0, twin)))).toBe('bad_psbt');
    expect(code(() => readPsbt(asked(1), carrying(1, previous)))).toBe('bad_psbt');
  });

  it('asks for a state of a channel without bonds all the same', () => {
    const plain = makeParams({}, makeTerms());
    const request = stateRequest(plain, HALF, 0);
    const text = signPsbt(request, exportPsbt(request, [minerSigner]), minerSigner);
    expect(psbtSignature(request, text, plain.keys.minerChannel)).toMatch(/^[0-9a-f]{128}$/);
  });
});
