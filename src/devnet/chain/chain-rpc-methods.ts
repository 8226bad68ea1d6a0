import { address, type Transaction } from 'bitcoinjs-lib';
import { isHex, toHex, u32hex } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { isRecord } from '../../base/json.ts';
import { compactSize } from '../../bitcoin/coinbase.ts';
import { displayHash, serializeHeader } from '../../bitcoin/header.ts';
import { NETWORKS, subsidySat } from '../../bitcoin/network.ts';
import { difficultyOfTarget, targetOfCompact, targetToHex, workOfTarget } from '../../bitcoin/target.ts';
import type { BlockRecord } from './block.ts';
import { type DevnetTemplate, devnetBlocks } from './block-making.ts';
import type { DevnetChain } from './chain.ts';
import { type Coin, RPC_DESERIALIZATION_ERROR } from './chain-rules.ts';
import { sendFillerCoins } from './faucet.ts';
import { packageOf } from './mempool-graph.ts';

/** An error of bitcoind's JSON-RPC: its number and its words. */
export class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
  }
}

export const RPC_METHOD_NOT_FOUND = -32601;
const RPC_MISC_ERROR = -1;
const RPC_TYPE_ERROR = -3;
const RPC_INVALID_ADDRESS_OR_KEY = -5;
const RPC_WALLET_INSUFFICIENT_FUNDS = -6;
const RPC_INVALID_PARAMETER = -8;

const MAX_GENERATED = 10_000;

export type RpcMethods = Readonly<Record<string, (params: readonly unknown[]) => unknown>>;

/** A number written exactly as given: bitcoind prints amounts with eight decimals. */
type RawJson = { readonly rawJSON: string };
const rawJson = (JSON as unknown as { rawJSON(text: string): RawJson }).rawJSON;

/** Sats as BTC with exactly eight decimals. */
export function btc(sat: bigint): RawJson {
  const digits = sat.toString().padStart(9, '0');
  return rawJson(`${digits.slice(0, -8)}.${digits.slice(-8)}`);
}

/**
 * bitcoind's methods over a devnet chain, by name. Names, shapes and error numbers are those of Bitcoin
 * Core 28 to 30.
 */
export function chainRpcMethods(
  chain: DevnetChain,
  options: { readonly estimateSatPerKvb?: number } = {},
): RpcMethods {
  return {
    ...blockMethods(chain),
    ...transactionMethods(chain),
    ...miningMethods(chain),
    ...templateMethods(chain),
    getnetworkinfo: () => ({
      version: 300000,
      subversion: '/Satoshi:30.0.0/devnet',
      protocolversion: 70016,
      localrelay: true,
      networkactive: true,
      connections: 0,
      relayfee: btc(100n),
      incrementalfee: btc(100n),
      localaddresses: [],
      warnings: [],
    }),
    estimatesmartfee: (params) => {
      const blocks = integerParam(params, 0, 'conf_target');
      if (blocks < 1 || blocks > 1008) {
        throw new RpcError(RPC_INVALID_PARAMETER, 'Invalid conf_target, must be between 1 and 1008');
      }
      return options.estimateSatPerKvb === undefined
        ? { errors: ['Insufficient data or no feerate found'], blocks }
        : { feerate: btc(BigInt(options.estimateSatPerKvb)), blocks };
    },
  };
}

function blockMethods(chain: DevnetChain): RpcMethods {
  return {
    getblockcount: () => chain.height,
    getbestblockhash: () => chain.tip().hash,
    getblock: (params) => {
      const block = chain.block(hashParam(params, 0, 'blockhash'));
      if (block === undefined) throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, 'Block not found');
      if (block.height > 0 && block.transactions.length === 0) {
        throw new RpcError(RPC_MISC_ERROR, 'Block not available (pruned data)');
      }
      if (params[1] !== 0) throw new RpcError(RPC_INVALID_PARAMETER, 'devnet gives blocks as bytes only');
      return blockHex(block);
    },
    getblockstats: (params) => {
      const block = chain.block(hashParam(params, 0, 'hash_or_height'));
      if (block === undefined) throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, 'Block not found');
      const subsidy = subsidySat('regtest', block.height);
      const claimed = block.transactions[0]?.outs.reduce((sum, { value }) => sum + value, 0n) ?? subsidy;
      return { subsidy: Number(subsidy), totalfee: claimed > subsidy ? Number(claimed - subsidy) : 0 };
    },
    getblockhash: (params) => {
      const block = chain.blockAt(integerParam(params, 0, 'height'));
      if (block === undefined) throw new RpcError(RPC_INVALID_PARAMETER, 'Block height out of range');
      return block.hash;
    },
    getblockchaininfo: () => {
      const tip = chain.blockAt(chain.height)!;
      const target = targetOfCompact(tip.header.bits);
      return {
        chain: 'regtest',
        blocks: tip.height,
        headers: tip.height,
        bestblockhash: tip.hash,
        bits: u32hex(tip.header.bits),
        target: targetToHex(target),
        difficulty: difficultyOfTarget(target),
        time: tip.header.time,
        mediantime: chain.medianTime(),
        verificationprogress: 1,
        initialblockdownload: false,
        chainwork: targetToHex(chainWork(chain, tip)),
        size_on_disk: 0,
        pruned: false,
        warnings: [],
      };
    },
    getblockheader: (params) => {
      const block = chain.block(hashParam(params, 0, 'blockhash'));
      if (block === undefined) throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, 'Block not found');
      return params[1] === false ? toHex(serializeHeader(block.header)) : verboseHeader(chain, block);
    },
    invalidateblock: (params) => {
      const block = chain.block(hashParam(params, 0, 'blockhash'));
      if (block === undefined) throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, 'Block not found');
      if (chain.blockAt(block.height) === block) chain.invalidateTip(chain.height - block.height + 1);
      return null;
    },
  };
}

function blockHex({ header, transactions }: BlockRecord): string {
  const bodies = transactions.map((transaction) => transaction.toHex());
  return `${toHex(serializeHeader(header))}${toHex(compactSize(transactions.length))}${bodies.join('')}`;
}

function chainWork(chain: DevnetChain, block: BlockRecord): bigint {
  let work = 0n;
  for (let height = 0; height <= block.height; height += 1) {
    work += workOfTarget(targetOfCompact(chain.bitsAt(height)));
  }
  return work;
}

function verboseHeader(chain: DevnetChain, block: BlockRecord): object {
  const known = chain.header(block.hash)!;
  const target = targetOfCompact(block.header.bits);
  return {
    hash: block.hash,
    confirmations: known.confirmations,
    height: block.height,
    version: block.header.version,
    versionHex: u32hex(block.header.version),
    merkleroot: displayHash(block.header.merkleRoot),
    time: block.header.time,
    mediantime: chain.medianTime(block.height),
    nonce: block.header.nonce,
    bits: u32hex(block.header.bits),
    target: targetToHex(target),
    difficulty: difficultyOfTarget(target),
    chainwork: targetToHex(chainWork(chain, block)),
    nTx: block.transactions.length,
    ...(block.height === 0 ? {} : { previousblockhash: known.previousHash }),
    ...(known.nextHash === undefined ? {} : { nextblockhash: known.nextHash }),
  };
}

function transactionMethods(chain: DevnetChain): RpcMethods {
  return {
    gettxout: (params) => {
      const txid = hashParam(params, 0, 'txid');
      const coin = chain.coin(txid, integerParam(params, 1, 'n'), params[2] !== false);
      if (coin === undefined) return null;
      return {
        bestblock: chain.tip().hash,
        confirmations: confirmationsOf(chain, coin),
        value: btc(coin.valueSat),
        scriptPubKey: scriptJson(coin.script),
        coinbase: coin.coinbase,
      };
    },
    getrawtransaction: (params) => {
      const found = chain.transaction(hashParam(params, 0, 'txid'));
      if (found === undefined) {
        const message =
          'No such mempool or blockchain transaction. Use gettransaction for wallet transactions.';
        throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, message);
      }
      const verbose = params[1] === true || (typeof params[1] === 'number' && params[1] > 0);
      return verbose
        ? verboseTransaction(chain, found.transaction, found.block)
        : found.transaction.toHex();
    },
    sendrawtransaction: (params) => asRpcError(() => chain.broadcast(hexParam(params, 0))),
    submitpackage: (params) => submitPackage(chain, params),
    gettxspendingprevout: (params) => {
      if (!Array.isArray(params[0])) throw new RpcError(RPC_INVALID_PARAMETER, 'outputs are missing');
      return params[0].map((outpoint: unknown) => {
        const fields = isRecord(outpoint) ? outpoint : {};
        const txid = hashParam([fields['txid']], 0, 'txid');
        const vout = integerParam([fields['vout']], 0, 'vout');
        const spendingtxid = chain.mempoolSpender(txid, vout);
        return { txid, vout, ...(spendingtxid === undefined ? {} : { spendingtxid }) };
      });
    },
    testmempoolaccept: (params) => {
      const list = params[0];
      if (!Array.isArray(list) || list.length === 0 || list.length > 25) {
        throw new RpcError(RPC_INVALID_PARAMETER, 'Array must contain between 1 and 25 transactions.');
      }
      return list.map((item) => testAccept(chain, hexParam([item], 0)));
    },
    getmempoolentry: (params) => {
      const found = packageOf(chain.mempoolEntries(), hashParam(params, 0, 'txid'));
      if (found === undefined) throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, 'Transaction not in mempool');
      const { entry, feeSat, vsize, count } = found;
      return {
        ...{ vsize: entry.vsize, height: entry.height, descendantcount: count, descendantsize: vsize },
        fees: { base: btc(entry.feeSat), modified: btc(entry.feeSat), descendant: btc(feeSat) },
      };
    },
    getrawmempool: () => chain.mempoolEntries().map((entry) => entry.txid),
    scantxoutset: (params) => scan(chain, params),
  };
}

function testAccept(chain: DevnetChain, hex: string): object {
  try {
    const { txid, vsize, feeSat } = chain.check(hex);
    return { txid, allowed: true, vsize, fees: { base: btc(feeSat) } };
  } catch (error) {
    const rpcError = refusedAs(error);
    if (rpcError.code === RPC_DESERIALIZATION_ERROR) throw rpcError;
    // Core says "missing-inputs" here where sendrawtransaction says "bad-txns-inputs-missingorspent".
    const missing = rpcError.message === 'bad-txns-inputs-missingorspent';
    return { allowed: false, 'reject-reason': missing ? 'missing-inputs' : rpcError.message };
  }
}

/** A parent and its child, as `submitpackage` of two. */
function submitPackage(chain: DevnetChain, params: readonly unknown[]): object {
  const [list] = params;
  if (!Array.isArray(list) || list.length !== 2) {
    throw new RpcError(RPC_INVALID_PARAMETER, 'devnet takes packages of a parent and its child');
  }
  const hexes = [hexParam(list, 0), hexParam(list, 1)] as const;
  try {
    chain.broadcastPackage(hexes);
    return { package_msg: 'success', 'tx-results': {} };
  } catch (error) {
    const { message } = refusedAs(error);
    return { package_msg: 'transaction failed', 'tx-results': { [hexes[1]]: { error: message } } };
  }
}

function scan(chain: DevnetChain, params: readonly unknown[]): unknown {
  const [action, descriptors] = params;
  if (action === 'abort') return false;
  if (action === 'status') return null;
  if (action !== 'start') throw new RpcError(RPC_INVALID_PARAMETER, `Invalid action '${String(action)}'`);
  if (!Array.isArray(descriptors)) {
    throw new RpcError(RPC_MISC_ERROR, 'scanobjects argument is required for the start action');
  }
  const unspents = descriptors.flatMap((descriptor) => {
    const text = isRecord(descriptor) ? descriptor['desc'] : descriptor;
    const scriptHex = scriptOfDescriptor(String(text));
    return chain.utxos(scriptHex).map((utxo) => ({ ...utxo, scriptHex, text: String(text) }));
  });
  return {
    success: true,
    txouts: unspents.length,
    height: chain.height,
    bestblock: chain.tip().hash,
    unspents: unspents.map((utxo) => ({
      txid: utxo.txid,
      vout: utxo.vout,
      scriptPubKey: utxo.scriptHex,
      desc: utxo.text,
      amount: btc(utxo.valueSat),
      coinbase: chain.coin(utxo.txid, utxo.vout, false)?.coinbase ?? false,
      height: utxo.height,
      blockhash: chain.blockAt(utxo.height)!.hash,
      confirmations: chain.height - utxo.height + 1,
    })),
    total_amount: btc(unspents.reduce((sum, utxo) => sum + utxo.valueSat, 0n)),
  };
}

/** `addr(ADDRESS)` and `raw(HEX)`, with or without a checksum. */
function scriptOfDescriptor(text: string): string {
  const match = /^(addr|raw)\(([0-9a-zA-Z]+)\)(?:#[0-9a-z]{8})?$/.exec(text);
  if (match === null) {
    throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, `'${text}' is not a valid descriptor function`);
  }
  const [, kind, value] = match as unknown as [string, string, string];
  if (kind === 'addr') return scriptOfAddress(value, 'Address is not valid');
  if (!isHex(value)) throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, 'Raw script is not hex');
  return value.toLowerCase();
}

function scriptOfAddress(text: string, message: string): string {
  try {
    return toHex(address.toOutputScript(text, NETWORKS.regtest.params));
  } catch {
    throw new RpcError(RPC_INVALID_ADDRESS_OR_KEY, message);
  }
}

function miningMethods(chain: DevnetChain): RpcMethods {
  return {
    generatetoaddress: (params) => {
      const count = integerParam(params, 0, 'nblocks');
      if (count < 0 || count > MAX_GENERATED) {
        throw new RpcError(RPC_INVALID_PARAMETER, `nblocks must be from 0 to ${MAX_GENERATED}`);
      }
      return chain.generate(count, scriptOfAddress(String(params[1]), 'Error: Invalid address'));
    },
    sendtoaddress: (params) => {
      const valueSat = satParam(params, 1);
      const scriptHex = scriptOfAddress(String(params[0]), 'Invalid address');
      return asRpcError(() => sendFillerCoins(chain, scriptHex, valueSat));
    },
  };
}

/** `getblocktemplate`, also for a proposal (BIP23), and `submitblock`. */
function templateMethods(chain: DevnetChain): RpcMethods {
  return {
    getblocktemplate: (params) => {
      const request = isRecord(params[0]) ? params[0] : {};
      if (request['mode'] !== 'proposal') return templateJson(devnetBlocks(chain).templateNow());
      return devnetBlocks(chain).faultNow(hexParam([request['data']], 0)) ?? null;
    },
    submitblock: (params) => devnetBlocks(chain).submitNow(hexParam(params, 0)) ?? null,
  };
}

function templateJson({ transactions, ...template }: DevnetTemplate): object {
  return {
    version: 0x20000000,
    rules: ['csv', '!segwit', 'taproot'],
    previousblockhash: template.previousHash,
    transactions: transactions.map(({ txid, hex, feeSat }) => ({ data: hex, txid, fee: Number(feeSat) })),
    coinbasevalue: Number(template.coinbaseValueSat),
    mintime: template.minTimeSeconds,
    curtime: template.timeSeconds,
    bits: u32hex(template.bits),
    height: template.height,
  };
}

function confirmationsOf(chain: DevnetChain, coin: Coin): number {
  return coin.confirmed ? chain.height - coin.height + 1 : 0;
}

function verboseTransaction(
  chain: DevnetChain,
  transaction: Transaction,
  block: BlockRecord | undefined,
): object {
  return {
    txid: transaction.getId(),
    hash: displayHash(transaction.getHash(true)),
    version: transaction.version,
    size: transaction.byteLength(),
    vsize: transaction.virtualSize(),
    weight: transaction.weight(),
    locktime: transaction.locktime,
    vin: transaction.ins.map((input) => ({
      ...(transaction.isCoinbase()
        ? { coinbase: toHex(input.script) }
        : {
            txid: displayHash(input.hash),
            vout: input.index,
            scriptSig: { asm: '', hex: toHex(input.script) },
          }),
      txinwitness: input.witness.map(toHex),
      sequence: input.sequence,
    })),
    vout: transaction.outs.map((output, n) => ({
      value: btc(output.value),
      n,
      scriptPubKey: scriptJson(output.script),
    })),
    hex: transaction.toHex(),
    ...(block === undefined
      ? {}
      : {
          blockhash: block.hash,
          confirmations: chain.height - block.height + 1,
          time: block.header.time,
          blocktime: block.header.time,
        }),
  };
}

function scriptJson(script: Uint8Array): object {
  const hex = toHex(script);
  try {
    return { asm: '', hex, address: address.fromOutputScript(script, NETWORKS.regtest.params) };
  } catch {
    return { asm: '', hex };
  }
}

function refusedAs(error: unknown): RpcError {
  if (error instanceof CodedError && error.code === 'insufficient_funds') {
    return new RpcError(RPC_WALLET_INSUFFICIENT_FUNDS, 'Insufficient funds');
  }
  if (!(error instanceof CodedError) || typeof error.meta['rpcCode'] !== 'number') throw error;
  return new RpcError(error.meta['rpcCode'], String(error.meta['reason']));
}

function asRpcError<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw refusedAs(error);
  }
}

function integerParam(params: readonly unknown[], index: number, name: string): number {
  const value = params[index];
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw new RpcError(RPC_TYPE_ERROR, `JSON value of type ${typeof value} for ${name} is not a number`);
  }
  return value;
}

/** An amount in BTC. */
function satParam(params: readonly unknown[], index: number): bigint {
  const value = Number(params[index]);
  const sats = Math.round(value * 1e8);
  if (!Number.isSafeInteger(sats) || sats <= 0) throw new RpcError(RPC_TYPE_ERROR, 'Invalid amount');
  return BigInt(sats);
}

function hashParam(params: readonly unknown[], index: number, name: string): string {
  const value = params[index];
  if (!isHex(value, 32)) {
    throw new RpcError(RPC_INVALID_PARAMETER, `${name} must be of length 64 (not '${String(value)}')`);
  }
  return value.toLowerCase();
}

function hexParam(params: readonly unknown[], index: number): string {
  const value = params[index];
  if (!isHex(value) || value.length === 0) {
    throw new RpcError(
      RPC_DESERIALIZATION_ERROR,
      'TX decode failed. Make sure the tx has at least one input.',
    );
  }
  return value;
}
