import { createRequire } from 'node:module';
import type { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';

/** An output being spent, in the order of the inputs that spend it. */
export type SpentOutput = { readonly script: Uint8Array; readonly valueSat: bigint };

type ScriptObject = { readonly chunks: readonly unknown[] };
type TransactionObject = { readonly inputs: { output: unknown }[] };
type InterpreterObject = {
  errstr: string;
  verify(
    scriptSig: ScriptObject,
    scriptPubkey: ScriptObject,
    transaction: TransactionObject,
    index: number,
    flags: number,
    witness: readonly Buffer[],
    satoshis: number,
  ): boolean;
};
type InterpreterClass = (new () => InterpreterObject) & Readonly<Record<string, number>>;

/** The part used here of bitcore-lib, an optional dependency as no daemon needs it; it ships no types. */
type Bitcore = {
  readonly Transaction: (new (
    hex: string,
  ) => TransactionObject) & {
    readonly Output: new (fields: { satoshis: number; script: ScriptObject }) => unknown;
  };
  readonly Script: (new (bytes: Buffer) => ScriptObject) & { readonly Interpreter: InterpreterClass };
};

/**
 * CLEANSTACK is left out: bitcore fails native segwit with it, and witness v0 has a clean stack by
 * consensus.
 */
const FLAGS = [
  'SCRIPT_VERIFY_P2SH',
  'SCRIPT_VERIFY_STRICTENC',
  'SCRIPT_VERIFY_DERSIG',
  'SCRIPT_VERIFY_LOW_S',
  'SCRIPT_VERIFY_NULLDUMMY',
  'SCRIPT_VERIFY_MINIMALDATA',
  'SCRIPT_VERIFY_MINIMALIF',
  'SCRIPT_VERIFY_NULLFAIL',
  'SCRIPT_VERIFY_CHECKLOCKTIMEVERIFY',
  'SCRIPT_VERIFY_CHECKSEQUENCEVERIFY',
  'SCRIPT_VERIFY_WITNESS',
  'SCRIPT_VERIFY_WITNESS_PUBKEYTYPE',
  'SCRIPT_VERIFY_TAPROOT',
] as const;

/** Asks whether scripts can be run, without loading what runs them. Throws `package_missing`. */
export function requireInterpreter(): void {
  try {
    createRequire(import.meta.url).resolve('bitcore-lib');
  } catch (cause) {
    throw new CodedError('package_missing', 'bitcore-lib is not installed', {}, { cause });
  }
}

let loaded: { readonly bitcore: Bitcore; readonly flags: number } | undefined;

/** Loading takes a noticeable time, so it waits until a script must run. */
function load(): { readonly bitcore: Bitcore; readonly flags: number } {
  if (loaded === undefined) {
    requireInterpreter();
    const bitcore = createRequire(import.meta.url)('bitcore-lib') as Bitcore;
    const flags = FLAGS.reduce((sum, name) => sum | (bitcore.Script.Interpreter[name] ?? 0), 0);
    loaded = { bitcore, flags };
  }
  return loaded;
}

/** Spends that passed, by all that their scripts can see: forgetting one costs a second run, no more. */
const passed = new Set<string>();
const MAX_PASSED = 5_000;

function nameOf(transaction: Transaction, spent: readonly SpentOutput[]): string {
  const outputs = spent.map(({ script, valueSat }) => `${toHex(script)}:${valueSat}`);
  return `${toHex(transaction.getHash(true))}:${outputs.join()}`;
}

/**
 * Runs the scripts of every input (legacy, P2SH, witness v0, taproot; BIP65 and BIP112 included).
 * @param spent the outputs spent, one per input, in input order
 * @returns the name of the script error (`SCRIPT_ERR_...`), or undefined when every input is good
 */
export function verifyScripts(transaction: Transaction, spent: readonly SpentOutput[]): string | undefined {
  const name = nameOf(transaction, spent);
  if (passed.has(name)) return undefined;
  const error = runScripts(transaction, spent);
  if (error !== undefined) return error;
  if (passed.size >= MAX_PASSED) passed.clear();
  passed.add(name);
  return undefined;
}

function runScripts(transaction: Transaction, spent: readonly SpentOutput[]): string | undefined {
  const { bitcore, flags } = load();
  const parsed = new bitcore.Transaction(toHex(transaction.toBuffer()));
  const scripts = spent.map((output) => new bitcore.Script(Buffer.from(output.script)));
  for (const [index, output] of spent.entries()) {
    const fields = { satoshis: Number(output.valueSat), script: scripts[index]! };
    parsed.inputs[index]!.output = new bitcore.Transaction.Output(fields);
  }
  for (const [index, input] of transaction.ins.entries()) {
    const interpreter = new bitcore.Script.Interpreter();
    const error = runInput(interpreter, () =>
      interpreter.verify(
        new bitcore.Script(Buffer.from(input.script)),
        scripts[index]!,
        parsed,
        index,
        flags,
        input.witness.map((item) => Buffer.from(item)),
        Number(spent[index]!.valueSat),
      ),
    );
    if (error !== undefined) return error;
  }
  return undefined;
}

/** bitcore throws on some malformed scripts and keys where consensus says "false". */
function runInput(interpreter: InterpreterObject, verify: () => boolean): string | undefined {
  try {
    return verify() ? undefined : interpreter.errstr || 'SCRIPT_ERR_UNKNOWN_ERROR';
  } catch (error) {
    return `SCRIPT_ERR_UNKNOWN_ERROR ${error instanceof Error ? error.message.slice(0, 80) : ''}`.trim();
  }
}
