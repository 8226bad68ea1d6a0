import { createRequire } from 'node:module';
import { Transaction as ScureTransaction } from '@scure/btc-signer';
import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../src/base/bytes.ts';

type Opaque = { readonly opaque: unique symbol };

/** The part of bitcore-lib that is used; it ships no types. */
type Bitcore = {
  readonly Script: ((hex: string) => Opaque) & {
    readonly Interpreter: {
      new (): {
        readonly errstr: string;
        verify(
          scriptSig: Opaque,
          scriptPubkey: Opaque,
          tx: Opaque,
          index: number,
          flags: number,
          witness: readonly Buffer[],
          satoshis: number,
        ): boolean;
      };
      readonly [flag: `SCRIPT_VERIFY_${string}`]: number;
    };
  };
  readonly Transaction: new (hex: string) => Opaque;
};

const bitcore = createRequire(import.meta.url)('bitcore-lib') as Bitcore;

/** Consensus and relay rules; CLEANSTACK is left off, as it fails every native segwit spend there. */
const FLAGS = [
  'P2SH',
  'STRICTENC',
  'DERSIG',
  'LOW_S',
  'NULLDUMMY',
  'SIGPUSHONLY',
  'MINIMALDATA',
  'DISCOURAGE_UPGRADABLE_NOPS',
  'CHECKLOCKTIMEVERIFY',
  'CHECKSEQUENCEVERIFY',
  'WITNESS',
  'MINIMALIF',
  'NULLFAIL',
  'WITNESS_PUBKEYTYPE',
].reduce((flags, name) => {
  const flag = bitcore.Script.Interpreter[`SCRIPT_VERIFY_${name}`];
  if (flag === undefined) throw new Error(`no flag ${name}`);
  return flags | flag;
}, 0);

/** Runs an input through the interpreter: `ok`, or why not. */
export function spend(
  transaction: Transaction,
  index: number,
  output: { readonly script: Uint8Array; readonly valueSat: bigint },
): string {
  const interpreter = new bitcore.Script.Interpreter();
  const ok = interpreter.verify(
    bitcore.Script(''),
    bitcore.Script(toHex(output.script)),
    new bitcore.Transaction(transaction.toHex()),
    index,
    FLAGS,
    transaction.ins[index]!.witness.map((item) => Buffer.from(item)),
    Number(output.valueSat),
  );
  return ok ? 'ok' : interpreter.errstr;
}

/** The BIP143 digest (SIGHASH_ALL) as the second library works it out, from the bytes alone. */
export function secondDigest(
  transaction: Transaction,
  index: number,
  scriptCode: Uint8Array,
  valueSat: bigint,
): string {
  const unsigned = transaction.clone();
  unsigned.stripWitnesses();
  const raw = Uint8Array.from(unsigned.toBuffer());
  const second = ScureTransaction.fromRaw(raw, { allowUnknownInputs: true, allowUnknownOutputs: true });
  return toHex(second.preimageWitnessV0(index, scriptCode, Transaction.SIGHASH_ALL, valueSat));
}
